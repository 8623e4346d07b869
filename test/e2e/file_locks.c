/*
 * File locks of all kinds: flock, shared with children; POSIX in ranges, of two tasks; OFD; leases; and children that
 * wait for some.
 */
#include "e2e.h"

#include <sys/file.h>

static int flocked, posix, ofd, lease;

static struct flock range(int type, off_t start, off_t len)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
}

static int make(const char *name, int flags)
{
	int fd = open(e2e_path(name), flags | O_CREAT, 0600);

	must(fd >= 0);
	if ((flags & O_ACCMODE) != O_RDONLY)
		must(!ftruncate(fd, 8192));
	return fd;
}

static void holder(void *arg)
{
	struct flock l = range(F_WRLCK, 1000, 50);

	int fd = open(e2e_path("posix"), O_RDWR);

	must(fd >= 0 && !fcntl(fd, F_SETLK, &l));
	e2e_child_ready();
	e2e_wait();
	while (access(e2e_path("looked"), F_OK))
		e2e_sleep_ms(2);
	_exit(0);
}

static void wait_flock(void *arg)
{
	int fd = open(e2e_path("flock"), O_RDONLY);

	close(flocked);
	e2e_child_ready();
	must(!flock(fd, LOCK_EX));
	must(!access(e2e_path("unlocking"), F_OK));
	_exit(0);
}

static void wait_posix(void *arg)
{
	struct flock l = range(F_WRLCK, 5, 10);

	e2e_child_ready();
	must(!fcntl(posix, F_SETLKW, &l));
	must(!access(e2e_path("unlocking"), F_OK));
	_exit(0);
}

/* Whom another open file finds in the way; ours do not count for F_GETLK. */
static void check_held(void)
{
	struct flock l = range(F_WRLCK, 0, 200);
	int fd = open(e2e_path("posix"), O_RDWR);

	must(!fcntl(fd, F_OFD_GETLK, &l));
	same(l.l_type, F_RDLCK);
	same(l.l_start, 0);
	same(l.l_len, 100);
	same(l.l_pid, getpid());
	l = range(F_WRLCK, 900, 0);
	must(!fcntl(posix, F_GETLK, &l));
	same(l.l_start, 1000);
	same(l.l_len, 50);
	fd = open(e2e_path("ofd"), O_RDWR);
	l = range(F_RDLCK, 0, 0);
	must(!fcntl(fd, F_OFD_GETLK, &l));
	same(l.l_type, F_WRLCK);
	same(l.l_start, 7);
	same(l.l_len, 0);
	same(l.l_pid, -1);
	fd = open(e2e_path("flock"), O_RDONLY);
	must(flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK);
	same(fcntl(lease, F_GETLEASE), F_RDLCK);
}

int main(int argc, char **argv)
{
	struct flock l = range(F_RDLCK, 0, 100);
	pid_t pids[3];

	e2e_begin(argc, argv);
	flocked = make("flock", O_RDWR);
	posix = make("posix", O_RDWR);
	ofd = make("ofd", O_RDWR);
	lease = make("lease", O_RDONLY);
	pids[0] = e2e_fork(holder, NULL);
	must(!flock(flocked, LOCK_EX) && !fcntl(posix, F_SETLK, &l));
	l = range(F_WRLCK, 7, 0);
	must(!fcntl(ofd, F_OFD_SETLK, &l));
	must(!fcntl(lease, F_SETLEASE, F_RDLCK));
	pids[1] = e2e_fork(wait_flock, NULL);
	pids[2] = e2e_fork(wait_posix, NULL);
	e2e_sleep_ms(20);

	e2e_wait();

	check_held();
	e2e_touch("looked");
	e2e_touch("unlocking");
	l = range(F_UNLCK, 0, 0);
	must(!flock(flocked, LOCK_UN) && !fcntl(posix, F_SETLK, &l));
	for (size_t i = 0; i < 3; i++)
		e2e_join(pids[i]);
	return 0;
}
