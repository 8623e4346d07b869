/*
 * POSIX locks of a file that is mapped and has several descriptors, of which none may be closed; and of a child,
 * through a descriptor that it shares with its parent.
 */
#include "e2e.h"

static int fd;

static int lock(int cmd, int type, off_t start, off_t len)
{
	struct flock l = { .l_type = type, .l_start = start, .l_len = len };

	must(!fcntl(fd, cmd, &l));
	return l.l_type;
}

static void child(void *arg)
{
	lock(F_SETLK, F_WRLCK, 1000, 50);
	e2e_child_ready();
	e2e_wait();
	same(lock(F_GETLK, F_WRLCK, 0, 100), F_RDLCK);
	while (access(e2e_path("looked"), F_OK))
		e2e_sleep_ms(2);
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	must((fd = open(e2e_path("file"), O_RDWR | O_CREAT, 0600)) >= 0 && !ftruncate(fd, 8192));
	must(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	must(fcntl(fd, F_DUPFD, 50) == 50 && open(e2e_path("file"), O_RDONLY) >= 0);
	pid_t pid = e2e_fork(child, NULL);
	lock(F_SETLK, F_RDLCK, 0, 100);

	e2e_wait();

	same(lock(F_GETLK, F_WRLCK, 900, 0), F_WRLCK);
	e2e_sleep_ms(10);
	e2e_touch("looked");
	e2e_join(pid);
	return 0;
}
