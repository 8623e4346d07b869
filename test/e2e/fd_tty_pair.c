/*
 * Terminals that belong to the tree: both ends of a pseudo terminal, with settings, size, a controlling session,
 * a foreground group; both ends work.
 */
#include "e2e.h"

#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;

static void session(void *arg)
{
	char buf[32] = "";

	close(master);
	must(setsid() == getpid() && !ioctl(slave, TIOCSCTTY, 0));
	e2e_child_ready();
	e2e_wait();
	same(tcgetsid(slave), getpid());
	same(tcgetpgrp(slave), getpid());
	int tty = open("/dev/tty", O_RDWR);
	must(tty >= 0);
	must(read(slave, buf, 9) == 9 && !strcmp(buf, "to slave\n"));
	must(write(tty, "via tty", 7) == 7);
	_exit(0);
}

static void read_all(int fd, const char *expect)
{
	size_t len = strlen(expect), got = 0;
	char buf[len + 1];

	while (got < len) {
		ssize_t n = read(fd, buf + got, len - got);
		must(n > 0);
		got += n;
	}
	if (memcmp(buf, expect, len))
		fail("read \"%.*s\", not \"%s\"", (int)len, buf, expect);
}

int main(int argc, char **argv)
{
	struct termios settings, now;
	struct winsize size = { 33, 99, 0, 0 }, size_now;
	int index_now = -1, index;

	e2e_begin(argc, argv);
	master = posix_openpt(O_RDWR | O_NOCTTY);
	must(master >= 0 && !grantpt(master) && !unlockpt(master));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	must(slave >= 0);
	must(!tcgetattr(slave, &settings));
	settings.c_lflag &= ~ECHO;
	settings.c_oflag &= ~OPOST;
	settings.c_cc[VINTR] = 7;
	must(!tcsetattr(slave, TCSANOW, &settings) && !ioctl(master, TIOCSWINSZ, &size));
	must(!ioctl(master, TIOCGPTN, &index));
	pid_t pid = e2e_fork(session, NULL);

	e2e_wait();

	must(!tcgetattr(slave, &now));
	same(now.c_lflag, settings.c_lflag);
	same(now.c_oflag, settings.c_oflag);
	same(now.c_iflag, settings.c_iflag);
	same(now.c_cflag, settings.c_cflag);
	same(now.c_cc[VINTR], 7);
	must(!ioctl(slave, TIOCGWINSZ, &size_now) && size_now.ws_row == 33 && size_now.ws_col == 99);
	must(!ioctl(master, TIOCGPTN, &index_now));
	same(index_now, index);
	must(write(master, "to slave\n", 9) == 9);
	read_all(master, "via tty");
	e2e_join(pid);
	return 0;
}
