/* Many descriptors: high numbers, gaps, duplicates, standard ones closed. */
#include "e2e.h"

#include <sys/resource.h>

int main(int argc, char **argv)
{
	struct rlimit limit;

	e2e_begin(argc, argv);
	close(0);
	must(!getrlimit(RLIMIT_NOFILE, &limit));
	int high = limit.rlim_cur > 5000 ? 5000 : (int)limit.rlim_cur - 1;
	int fd = open(e2e_path("file"), O_CREAT | O_RDWR, 0600); /* 0 */
	same(fd, 0);
	must(dup2(fd, high) == high);
	for (int i = 10; i < 500; i += 7)
		must(dup3(i % 2 ? 0 : high, i, i % 3 ? O_CLOEXEC : 0) == i);
	must(lseek(0, 4321, SEEK_SET) == 4321);

	e2e_wait();

	for (int i = 3; i < 510; i++) {
		bool open_before = i >= 10 && i < 500 && (i - 10) % 7 == 0;
		int flags = fcntl(i, F_GETFD);

		if (!open_before)
			same(flags, -1);
		else
			same(flags, i % 3 ? FD_CLOEXEC : 0);
		if (open_before)
			same(lseek(i, 0, SEEK_CUR), 4321);
	}
	same(lseek(high, 1, SEEK_CUR), 4322);
	same(lseek(0, 0, SEEK_CUR), 4322);
	return 0;
}
