/* A file whose name was removed while it has another one, without --link-remap. */
#include "e2e.h"

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	int fd = open(e2e_path("gone"), O_RDWR | O_CREAT, 0600);
	must(fd >= 0 && !link(e2e_path("gone"), e2e_path("other")) && !unlink(e2e_path("gone")));
	e2e_expect("%d fd %d removed other names", getpid(), fd);

	e2e_wait();

	must(write(fd, "x", 1) == 1);
	return 0;
}
