/* File locks, which are dumped with --file-locks only. */
#include "e2e.h"

#include <sys/file.h>

int main(int argc, char **argv)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 10 };

	e2e_begin(argc, argv);
	int a = open(e2e_path("a"), O_RDWR | O_CREAT, 0600), b = open(e2e_path("b"), O_RDWR | O_CREAT, 0600);
	must(!flock(a, LOCK_SH) && !fcntl(b, F_SETLK, &lock));
	e2e_expect("%d fd %d lock flock", getpid(), a);
	e2e_expect("%d fd %d lock POSIX", getpid(), b);

	e2e_wait();

	lock.l_type = F_RDLCK;
	must(!fcntl(b, F_OFD_GETLK, &(struct flock){ .l_type = F_WRLCK }));
	return 0;
}
