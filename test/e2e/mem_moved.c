/* A program that moved what the kernel keeps of its memory: arguments, environment, auxiliary vector, code, data, brk.
 */
#include "e2e.h"

#include <linux/prctl.h>
#include <sys/auxv.h>

static char *area;

static unsigned long field(int number)
{
	FILE *f = fopen("/proc/self/stat", "r");
	char text[1024] = "";

	must(f && fgets(text, sizeof(text), f));
	fclose(f);
	char *at = strrchr(text, ')') + 1;
	for (int i = 3; i < number; i++)
		at = strchr(at + 1, ' ');
	return strtoul(at, NULL, 10);
}

static size_t read_file(const char *name, char *buf, size_t size)
{
	int fd = open(name, O_RDONLY);
	ssize_t n = read(fd, buf, size);

	must(fd >= 0 && n >= 0 && !close(fd));
	return n;
}

int main(int argc, char **argv)
{
	static uint64_t auxv[] = { 6 /* AT_PAGESZ */, 4096, 99, 12345, 0, 0 };
	char buf[512] = "";

	e2e_begin(argc, argv);
	area = mmap(NULL, 64 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(area != MAP_FAILED);
	memcpy(area, "moved\0arguments", 16);
	memcpy(area + E2E_PAGE, "NAME=value", 11);
	struct prctl_mm_map map = {
		.start_code = (uint64_t)area + 2 * E2E_PAGE,
		.end_code = (uint64_t)area + 3 * E2E_PAGE,
		.start_data = (uint64_t)area + 4 * E2E_PAGE,
		.end_data = (uint64_t)area + 5 * E2E_PAGE,
		.start_brk = (uint64_t)area + 80 * E2E_PAGE,
		.brk = (uint64_t)area + 80 * E2E_PAGE,
		.start_stack = field(28),
		.arg_start = (uint64_t)area,
		.arg_end = (uint64_t)area + 16,
		.env_start = (uint64_t)area + E2E_PAGE,
		.env_end = (uint64_t)area + E2E_PAGE + 11,
		.auxv = (__u64 *)auxv,
		.auxv_size = sizeof(auxv),
		.exe_fd = -1,
	};
	if (prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof(map), 0))
		skip("can't move what the kernel knows of memory: %s", strerror(errno));
	void *brk = sbrk(0);

	e2e_wait();

	must(read_file("/proc/self/cmdline", buf, sizeof(buf)) == 16 && !memcmp(buf, "moved\0arguments", 16));
	must(read_file("/proc/self/environ", buf, sizeof(buf)) == 11 && !strcmp(buf, "NAME=value"));
	must(read_file("/proc/self/auxv", buf, sizeof(buf)) >= 48 && !memcmp(buf, auxv, sizeof(auxv)));
	same(field(26), map.start_code);
	same(field(27), map.end_code);
	same(field(45), map.start_data);
	same(field(46), map.end_data);
	same(field(47), map.start_brk);
	must(sbrk(0) == brk);
	return 0;
}
