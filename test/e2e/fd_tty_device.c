/* A virtual console: the same one is opened again, with its settings. */
#include "e2e.h"

#include <sys/sysmacros.h>
#include <termios.h>

int main(int argc, char **argv)
{
	struct termios t, now;
	struct stat st;

	e2e_begin(argc, argv);
	if (mknod(e2e_path("console"), S_IFCHR | 0600, makedev(4, 60)))
		skip("can't make a device: %s", strerror(errno));
	int fd = open(e2e_path("console"), O_RDWR | O_NOCTTY);
	if (fd < 0)
		skip("no virtual console 60: %s", strerror(errno));
	int again = open(e2e_path("console"), O_WRONLY | O_NONBLOCK | O_NOCTTY);
	must(again >= 0 && !tcgetattr(fd, &t));
	t.c_lflag &= ~(ECHO | ICANON);
	t.c_cc[VINTR] = 7;
	must(!tcsetattr(fd, TCSANOW, &t));

	e2e_wait();

	must(!fstat(again, &st) && st.st_rdev == makedev(4, 60));
	must(!tcgetattr(fd, &now));
	same(now.c_lflag, t.c_lflag);
	same(now.c_cc[VINTR], 7);
	same(fcntl(again, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_WRONLY | O_NONBLOCK);
	must(write(again, "x", 1) == 1);
	return 0;
}
