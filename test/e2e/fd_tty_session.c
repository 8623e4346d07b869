/*
 * Sessions that own a terminal of the tree: jobs in groups, one in the foreground, /dev/tty that is open in several
 * tasks, a leader that has closed the terminal. The keyboard reaches the right group.
 */
#include "e2e.h"

#include <sys/ioctl.h>
#include <termios.h>

static int master, slave, interrupts;

static void on_interrupt(int sig)
{
	interrupts++;
}

static void job(void *arg)
{
	bool front = arg;

	must(!setpgid(0, 0));
	signal(SIGTTOU, SIG_IGN);
	signal(SIGINT, on_interrupt);
	if (front)
		must(!tcsetpgrp(slave, getpid()));
	e2e_child_ready();
	e2e_wait();
	must((tcgetpgrp(slave) == getpid()) == front);
	while (front && !interrupts)
		e2e_sleep_ms(1);
	same(interrupts, front);
	_exit(0);
}

static void shell(void *arg)
{
	must(!close(master) && setsid() == getpid() && !ioctl(slave, TIOCSCTTY, 0));
	int tty = open("/dev/tty", O_RDWR | O_APPEND);
	must(tty >= 0);
	pid_t back = e2e_fork(job, NULL), front = e2e_fork(job, &slave);
	e2e_child_ready();
	e2e_wait();
	same(tcgetsid(slave), getpid());
	same(tcgetsid(tty), getpid());
	must(fcntl(tty, F_GETFL) & O_APPEND);
	must(tcgetpgrp(tty) == front);
	int again = open("/dev/tty", O_RDWR);
	must(again >= 0 && !close(again));
	e2e_join(front);
	e2e_join(back);
	_exit(0);
}

/* Its terminal is no descriptor of anybody but the master's. */
static void quiet(void *arg)
{
	int *other = arg;
	struct termios t;
	char c;

	must(!close(master) && !close(slave) && setsid() == getpid());
	int fd = open(ptsname(*other), O_RDWR);
	must(fd >= 0 && !tcgetattr(fd, &t));
	cfmakeraw(&t);
	must(!tcsetattr(fd, TCSANOW, &t) && !close(fd) && !close(*other));
	signal(SIGHUP, SIG_IGN);
	e2e_child_ready();
	e2e_wait();
	fd = open("/dev/tty", O_RDWR);
	must(fd >= 0 && read(fd, &c, 1) == 1 && write(fd, "here", 4) == 4);
	_exit(0);
}

int main(int argc, char **argv)
{
	char buf[8];

	e2e_begin(argc, argv);
	master = posix_openpt(O_RDWR | O_NOCTTY);
	must(master >= 0 && !grantpt(master) && !unlockpt(master));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	int other = posix_openpt(O_RDWR | O_NOCTTY);
	must(slave >= 0 && other >= 0 && !grantpt(other) && !unlockpt(other));
	pid_t a = e2e_fork(shell, NULL), b = e2e_fork(quiet, &other);

	e2e_wait();

	pid_t group;
	must(!ioctl(other, TIOCGPGRP, &group));
	same(group, b);
	must(write(other, "x", 1) == 1);
	while (read(other, buf, 4) < 0) /* nobody has opened it yet */
		e2e_sleep_ms(1);
	must(!memcmp(buf, "here", 4));
	e2e_join(b);
	must(write(master, "\003", 1) == 1); /* Ctrl-C */
	e2e_join(a);
	return 0;
}
