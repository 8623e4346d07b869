/* Pipes: with data inside, resized, non-blocking, several readers and writers, ends that are closed. */
#include "e2e.h"

static int inner[2], big[2], no_writer[2], no_reader[2], shared[2];

static void drain(int fd, const void *expect, size_t len, const char *what)
{
	char buf[len + 1];
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, buf + got, len - got);
		if (n <= 0)
			fail("%s: read gives %zd after %zu bytes: %s", what, n, got, strerror(errno));
		got += n;
	}
	if (memcmp(buf, expect, len))
		fail("%s: other bytes", what);
}

static void child(void *arg)
{
	close(shared[0]);
	e2e_child_ready();
	e2e_wait();
	must(write(shared[1], "child", 5) == 5);
	_exit(0);
}

static void check_ends(char *junk, size_t len)
{
	char c;

	drain(big[0], junk, len, "resized pipe");
	same(fcntl(big[0], F_GETPIPE_SZ), 1 << 20);
	drain(no_writer[0], "last words", 10, "pipe without a writer");
	same(read(no_writer[0], &c, 1), 0);
	must(write(no_reader[1], "x", 1) == -1 && errno == EPIPE);
}

int main(int argc, char **argv)
{
	char c;

	e2e_begin(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	must(!pipe(inner) && !pipe(big) && !pipe(no_writer) && !pipe(no_reader) && !pipe2(shared, O_NONBLOCK));
	must(write(inner[1], "hello", 5) == 5);
	must(fcntl(big[0], F_SETPIPE_SZ, 1 << 20) == 1 << 20);
	size_t len = 300000;
	char *junk = malloc(len);
	e2e_fill(junk, len, 7);
	must(write(big[1], junk, len) == (ssize_t)len);
	must(write(no_writer[1], "last words", 10) == 10);
	close(no_writer[1]);
	close(no_reader[0]);
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	drain(inner[0], "hello", 5, "plain pipe");
	must(write(inner[1], "again", 5) == 5);
	drain(inner[0], "again", 5, "plain pipe, afterwards");
	check_ends(junk, len);
	e2e_join(pid);
	drain(shared[0], "child", 5, "pipe shared with a child");
	must(read(shared[0], &c, 1) == -1 && errno == EAGAIN);
	close(shared[1]);
	same(read(shared[0], &c, 1), 0);
	return 0;
}
