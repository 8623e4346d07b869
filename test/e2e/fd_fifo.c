/* FIFOs: in all open modes, with data, shared with a child, deleted, and with two names. */
#include "e2e.h"

static int both, reader, writer, alone, gone, named[2];

static void drain(int fd, const char *expect, const char *what)
{
	char buf[64];
	ssize_t n = read(fd, buf, *expect ? strlen(expect) : sizeof(buf));

	if (n != (ssize_t)strlen(expect) || memcmp(buf, expect, n))
		fail("%s: read gives %zd bytes: %s", what, n, n < 0 ? strerror(errno) : buf);
}

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	must(write(writer, "child", 5) == 5);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct stat st;

	e2e_begin(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	must(!mkfifo(e2e_path("a"), 0640) && !mkfifo(e2e_path("alone"), 0600) && !mkfifo(e2e_path("gone"), 0604));
	must(!mkfifo(e2e_path("n1"), 0600) && !link(e2e_path("n1"), e2e_path("n2")));
	must((both = open(e2e_path("a"), O_RDWR)) >= 0 && (writer = open(e2e_path("a"), O_WRONLY)) >= 0);
	must((reader = open(e2e_path("a"), O_RDONLY | O_NONBLOCK)) >= 0);
	must(write(writer, "hello", 5) == 5 && fcntl(both, F_SETPIPE_SZ, 1 << 18) == 1 << 18);
	must((alone = open(e2e_path("alone"), O_RDONLY | O_NONBLOCK)) >= 0);
	must((gone = open(e2e_path("gone"), O_RDWR)) >= 0 && write(gone, "ghost", 5) == 5);
	must(!unlink(e2e_path("gone")));
	must((named[0] = open(e2e_path("n1"), O_RDONLY | O_NONBLOCK)) >= 0);
	must((named[1] = open(e2e_path("n2"), O_WRONLY)) >= 0 && write(named[1], "two names", 9) == 9);
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	same(fcntl(both, F_GETPIPE_SZ), 1 << 18);
	drain(reader, "hello", "named FIFO");
	e2e_join(pid);
	drain(both, "child", "FIFO shared with a child");
	must(write(both, "more", 4) == 4);
	drain(reader, "more", "named FIFO, afterwards");
	drain(alone, "", "FIFO without a writer");
	int late = open(e2e_path("alone"), O_WRONLY | O_NONBLOCK);
	must(late >= 0 && write(late, "late", 4) == 4);
	drain(alone, "late", "writer that came by the name");
	drain(gone, "ghost", "deleted FIFO");
	must(!fstat(gone, &st) && st.st_mode == (S_IFIFO | 0604) && !st.st_nlink);
	must(write(gone, "again", 5) == 5);
	drain(gone, "again", "deleted FIFO, afterwards");
	must(access(e2e_path("gone"), F_OK) && errno == ENOENT);
	drain(named[0], "two names", "FIFO with two names");
	return 0;
}
