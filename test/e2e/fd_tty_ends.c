/*
 * Pseudo terminals of which only one end is left: masters whose slave was never opened, is locked or was closed; slaves
 * whose master was closed, one of them /dev/tty; a slave that was hung up while its master lives. Exclusive mode, owner
 * and permissions, several descriptions of a slave, a terminal that a child inherited.
 */
#include "e2e.h"

#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <termios.h>

static int open_master(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY);

	must(fd >= 0 && !unlockpt(fd));
	return fd;
}

static int open_slave(int master, int flags)
{
	int fd = open(ptsname(master), flags | O_NOCTTY);

	must(fd >= 0);
	return fd;
}

static int events(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	must(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static int locked, fresh, closed, half, orphan, orphan_tty, mixed, mixed_old, mixed_new, both, first, second;

/* A terminal loses its master, and its session. */
static void lose_terminal(void)
{
	int master = open_master(), status;

	orphan = open_slave(master, O_RDWR);
	pid_t pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	must(pid >= 0);
	if (!pid) {
		signal(SIGHUP, SIG_IGN);
		if (setsid() < 0 || ioctl(orphan, TIOCSCTTY, 0))
			_exit(0);
		_exit(open("/dev/tty", O_RDWR));
	}
	must(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	orphan_tty = WEXITSTATUS(status);
	must(orphan_tty > 2 && isatty(orphan_tty) && !close(master));
}

static void check_ends(void)
{
	struct stat st;
	int value = 0;
	char c;

	must(!ioctl(locked, TIOCGPTLCK, &value) && value == 1);
	must(!(events(fresh) & POLLHUP) && (events(closed) & POLLHUP) && (events(half) & POLLHUP));
	must((events(orphan) & POLLHUP) && (events(orphan_tty) & POLLHUP));
	must(read(orphan, &c, 1) == 0 && write(orphan, "x", 1) < 0 && errno == EIO);
	must((events(mixed_old) & POLLHUP) && !(events(mixed_new) & POLLHUP) && !(events(mixed) & POLLHUP));
	must(!ioctl(first, TIOCGEXCL, &value) && value == 1);
	must(!fstat(second, &st) && st.st_uid == 1234 && (st.st_mode & 07777) == 0640);
	same(fcntl(second, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_WRONLY | O_NONBLOCK);
	same(fcntl(first, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDWR);
}

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	check_ends();
	_exit(0);
}

int main(int argc, char **argv)
{
	char buf[8];

	e2e_begin(argc, argv);
	locked = posix_openpt(O_RDWR | O_NOCTTY);
	must(locked >= 0);
	fresh = open_master();
	closed = open_master();
	must(!close(open_slave(closed, O_RDWR)));
	half = open_master();
	int last = open_slave(half, O_RDWR);
	must(write(last, "last", 4) == 4 && !close(last));
	lose_terminal();
	mixed = open_master();
	mixed_old = open_slave(mixed, O_RDWR);
	must(!ioctl(mixed_old, TIOCVHANGUP));
	mixed_new = open_slave(mixed, O_RDWR);
	both = open_master();
	first = open_slave(both, O_RDWR);
	second = open_slave(both, O_WRONLY | O_NONBLOCK);
	must(!fchown(second, 1234, -1) && !fchmod(second, 0640) && !ioctl(first, TIOCEXCL));
	check_ends();
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	check_ends();
	must(read(half, buf, sizeof(buf)) == 4 && !memcmp(buf, "last", 4));
	must(read(half, buf, sizeof(buf)) < 0 && errno == EIO);
	must(write(mixed_new, "hi", 2) == 2 && read(mixed, buf, 2) == 2);
	must(write(second, "hi", 2) == 2 && read(both, buf, 2) == 2);
	e2e_join(pid);
	return 0;
}
