/*
 * Attributes that CRIU has no place for: core dump filter and memory-deny-write-execute, of two processes with other
 * values.
 */
#include "e2e.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif

static void set_filter(const char *value)
{
	int fd = open("/proc/self/coredump_filter", O_WRONLY);

	if (fd < 0 || write(fd, value, strlen(value)) != (ssize_t)strlen(value))
		skip("coredump_filter: %s", strerror(errno));
	close(fd);
}

static void expect_filter(long value)
{
	char text[32] = "";
	int fd = open("/proc/self/coredump_filter", O_RDONLY);

	must(read(fd, text, sizeof(text) - 1) > 0);
	same(strtol(text, NULL, 16), value);
	close(fd);
}

/* It inherits the core dump filter of its parent, but not what the parent sets later. */
static void child(void *arg)
{
	set_filter("0x1ff");
	e2e_child_ready();
	e2e_wait();
	expect_filter(0x1ff);
	same(prctl(PR_GET_MDWE, 0, 0, 0, 0), 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	set_filter("0x7");
	pid_t pid = e2e_fork(child, NULL);
	if (prctl(PR_SET_MDWE, 1, 0, 0, 0))
		skip("PR_SET_MDWE: %s", strerror(errno));

	e2e_wait();

	expect_filter(7);
	same(prctl(PR_GET_MDWE, 0, 0, 0, 0), 1);
	must(mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	e2e_join(pid);
	return 0;
}
