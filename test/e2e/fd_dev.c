/* Plain devices: null, zero, full, random, urandom; open, and zero mapped. */
#include "e2e.h"

int main(int argc, char **argv)
{
	static const char *const names[] = { "null", "zero", "full", "random", "urandom" };
	int fd[5];
	char buf[64], zero[64] = "";

	e2e_begin(argc, argv);
	for (int i = 0; i < 5; i++) {
		snprintf(buf, sizeof(buf), "/dev/%s", names[i]);
		fd[i] = open(buf, i % 2 ? O_RDONLY : O_RDWR);
		must(fd[i] >= 0);
	}
	char *map = mmap(NULL, 4 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd[1], 0);
	must(map != MAP_FAILED);
	strcpy(map + E2E_PAGE, "private page of /dev/zero");

	e2e_wait();

	must(write(fd[0], buf, 64) == 64 && read(fd[0], buf, 64) == 0);
	memset(buf, 1, sizeof(buf));
	must(read(fd[1], buf, 64) == 64 && !memcmp(buf, zero, 64));
	must(write(fd[2], buf, 64) == -1 && errno == ENOSPC);
	must(read(fd[3], buf, 64) == 64 && memcmp(buf, zero, 64));
	must(read(fd[4], buf, 64) == 64 && memcmp(buf, zero, 64));
	must(!strcmp(map + E2E_PAGE, "private page of /dev/zero") && map[0] == 0);
	return 0;
}
