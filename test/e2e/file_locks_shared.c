/* POSIX locks belong to a table of descriptors: two tasks that share one have them in common. */
#include "e2e.h"

#include <sched.h>

static char stack[65536] __attribute__((aligned(16)));
static int file, done[2];

static struct flock range(int type, off_t start, off_t len)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
}

static int child(void *arg)
{
	struct flock l = range(F_WRLCK, 100, 10);
	char c;

	must(!fcntl(file, F_SETLK, &l) && write(done[1], "x", 1) == 1);
	e2e_wait();
	while (access(e2e_path("checked"), F_OK))
		e2e_sleep_ms(2);
	must(read(done[0], &c, 1) == 1);
	return 0;
}

static void find(off_t start, off_t len, int type, pid_t pid)
{
	int other = open(e2e_path("locked"), O_RDWR);
	struct flock l = range(F_WRLCK, start, len);

	/* No POSIX lock of ours is in our own way; closing the file would drop all. */
	must(other > 0 && !fcntl(other, F_OFD_GETLK, &l));
	same(l.l_type, type);
	if (type != F_UNLCK)
		same(l.l_pid, pid);
}

int main(int argc, char **argv)
{
	struct flock l = range(F_RDLCK, 0, 10);
	int status;
	char c;

	e2e_begin(argc, argv);
	file = open(e2e_path("locked"), O_RDWR | O_CREAT, 0600);
	must(file > 0 && !pipe(done) && !fcntl(file, F_SETLK, &l));
	pid_t pid = clone(child, stack + sizeof(stack), CLONE_FILES | SIGCHLD, NULL);
	must(pid > 0 && read(done[0], &c, 1) == 1);

	e2e_wait();

	find(0, 10, F_RDLCK, getpid());
	find(100, 10, F_WRLCK, pid);
	l = range(F_UNLCK, 100, 10);
	must(!fcntl(file, F_SETLK, &l));
	find(100, 10, F_UNLCK, 0);
	e2e_touch("checked");
	must(write(done[1], "x", 1) == 1 && waitpid(pid, &status, 0) == pid && !status);
	return 0;
}
