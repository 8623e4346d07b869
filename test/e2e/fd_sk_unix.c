/*
 * UNIX sockets: pairs of all types with packets and descriptors in their queues, half closed, shut down; a server with
 * clients that are connected, that wait, that are gone; datagrams; options.
 */
#include "e2e.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static int stream[2], dgram[2], packets[2], alone, orphan_dgram, half[2], in_child[2];
static int listener, client, accepted, waiting[3], bound, to_bound, to_itself;

static socklen_t address(struct sockaddr_un *a, const char *name)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (name[0] == '@') {
		snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "%s-%d", name + 1, getpid());
		return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a->sun_path + 1);
	}
	strcpy(a->sun_path, name);
	return offsetof(struct sockaddr_un, sun_path) + strlen(name) + 1;
}

static int make(int type, const char *name)
{
	struct sockaddr_un a;
	int fd = socket(AF_UNIX, type, 0);

	must(fd >= 0);
	if (name)
		must(!bind(fd, (struct sockaddr *)&a, address(&a, name)));
	return fd;
}

static int connected(int type, const char *name, const char *own)
{
	struct sockaddr_un a;
	int fd = make(type, own);

	must(!connect(fd, (struct sockaddr *)&a, address(&a, name)));
	return fd;
}

static void send_fd(int to, const char *text, int fd)
{
	_Alignas(8) char control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { (char *)text, strlen(text) };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	must(sendmsg(to, &m, 0) == (ssize_t)strlen(text));
}

static int receive_fd(int from, const char *text)
{
	_Alignas(8) char control[CMSG_SPACE(sizeof(int))] = {};
	char data[64] = "";
	struct iovec iov = { data, sizeof(data) - 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	int fd = -1;

	must(recvmsg(from, &m, MSG_DONTWAIT) == (ssize_t)strlen(text) && !strcmp(data, text));
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	must(c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)));
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

static void expect_text(int fd, const char *text)
{
	char data[64] = "";
	ssize_t n = recv(fd, data, sizeof(data) - 1, MSG_DONTWAIT);

	if (n != (ssize_t)strlen(text) || strcmp(data, text))
		fail("fd %d: received %zd bytes, %s, not %s (%s)", fd, n, data, text, strerror(errno));
}

static void expect_empty(int fd)
{
	char c;

	must(recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

static void put(int fd, const char *text)
{
	must(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static void make_pairs(void)
{
	int gone[2], file = open(e2e_path("passed"), O_CREAT | O_RDWR, 0600);

	must(write(file, "0123456789", 10) == 10 && lseek(file, 4, SEEK_SET) == 4);
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, stream) && !socketpair(AF_UNIX, SOCK_DGRAM, 0, dgram));
	must(!socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) && !socketpair(AF_UNIX, SOCK_STREAM, 0, half));
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, in_child));
	put(stream[0], "one");
	send_fd(stream[0], "two", file);
	put(stream[0], "three");
	put(stream[1], "back");
	put(dgram[0], "first");
	send_fd(dgram[0], "second", stream[0]);
	put(packets[1], "a");
	put(packets[1], "bc");
	close(file);
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, gone));
	alone = gone[0];
	put(gone[1], "last words");
	close(gone[1]);
	must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, gone));
	orphan_dgram = gone[0];
	put(gone[1], "last packet");
	close(gone[1]);
	put(half[0], "no more");
	must(!shutdown(half[0], SHUT_WR));
}

static void check_pairs(void)
{
	char data[16] = "";

	/* One read takes what came before, too. */
	int fd = receive_fd(stream[1], "onetwo");
	must(read(fd, data, 16) == 6 && !strcmp(data, "456789"));
	expect_text(stream[1], "three");
	expect_text(stream[0], "back");
	expect_text(dgram[1], "first");
	fd = receive_fd(dgram[1], "second");
	put(fd, "through");
	expect_text(stream[1], "through");
	expect_text(packets[0], "a");
	expect_text(packets[0], "bc");
	expect_empty(packets[0]);
	expect_text(alone, "last words");
	same(recv(alone, data, 1, MSG_DONTWAIT), 0);
	must(send(alone, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	expect_text(orphan_dgram, "last packet");
	expect_empty(orphan_dgram);
	expect_text(half[1], "no more");
	same(recv(half[1], data, 1, MSG_DONTWAIT), 0);
	must(send(half[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	put(half[1], "answer");
	expect_text(half[0], "answer");
}

static void make_server(void)
{
	listener = make(SOCK_STREAM, "server");
	must(!chmod("server", 0640) && !listen(listener, 5));
	client = connected(SOCK_STREAM, "server", "@client");
	accepted = accept(listener, NULL, NULL);
	must(accepted >= 0);
	put(client, "request");
	put(accepted, "reply");
	for (int i = 0; i < 3; i++)
		waiting[i] = connected(SOCK_STREAM, "server", NULL);
}

static void expect_name(int fd, bool peer, const char *name)
{
	struct sockaddr_un a, b;
	socklen_t len = sizeof(a), expected = address(&b, name);

	must(!(peer ? getpeername : getsockname)(fd, (struct sockaddr *)&a, &len));
	same(len, expected);
	must(!memcmp(a.sun_path, b.sun_path, len - offsetof(struct sockaddr_un, sun_path)));
}

static void check_server(void)
{
	struct stat st;

	expect_text(accepted, "request");
	expect_text(client, "reply");
	expect_name(accepted, false, "server");
	expect_name(accepted, true, "@client");
	expect_name(client, true, "server");
	for (int i = 0; i < 3; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		char text[16];

		must(fd >= 0);
		snprintf(text, sizeof(text), "number %d", i);
		put(fd, text);
		expect_text(waiting[i], text);
	}
	must(!fcntl(listener, F_SETFL, O_NONBLOCK) && accept(listener, NULL, NULL) < 0 && errno == EAGAIN);
	must(!stat("server", &st) && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0640);
	int late = connected(SOCK_STREAM, "server", NULL);
	must(accept(listener, NULL, NULL) >= 0);
	close(late);
}

static void make_datagrams(void)
{
	struct sockaddr_un a;

	bound = make(SOCK_DGRAM, "@bound");
	to_bound = connected(SOCK_DGRAM, "@bound", "sender");
	put(to_bound, "by name");
	int stranger = make(SOCK_DGRAM, NULL);
	must(sendto(stranger, "nameless", 8, 0, (struct sockaddr *)&a, address(&a, "@bound")) == 8);
	close(stranger);
	to_itself = make(SOCK_DGRAM, "@itself");
	must(!connect(to_itself, (struct sockaddr *)&a, address(&a, "@itself")));
	put(to_itself, "note");
}

static void check_datagrams(void)
{
	expect_text(bound, "by name");
	expect_text(bound, "nameless");
	put(to_bound, "again");
	expect_text(bound, "again");
	expect_text(to_itself, "note");
	put(to_itself, "more");
	expect_text(to_itself, "more");
}

static void set_options(void)
{
	struct timeval t = { 7, 500000 };
	int on = 1, size = 50000, off = 3;

	must(!setsockopt(packets[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)));
	must(!setsockopt(stream[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	must(!setsockopt(stream[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	must(!setsockopt(half[1], SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)));
	must(!fcntl(stream[1], F_SETFL, O_NONBLOCK));
}

static void check_options(void)
{
	struct timeval t = {};
	int value = 0;
	socklen_t len = sizeof(value), t_len = sizeof(t);

	must(!getsockopt(packets[0], SOL_SOCKET, SO_PASSCRED, &value, &len) && value == 1);
	must(!getsockopt(stream[0], SOL_SOCKET, SO_SNDBUF, &value, &len));
	same(value, 100000);
	must(!getsockopt(stream[1], SOL_SOCKET, SO_SNDBUF, &value, &len));
	must(value > 100000);
	must(!getsockopt(stream[0], SOL_SOCKET, SO_RCVTIMEO, &t, &t_len) && t.tv_sec == 7 && t.tv_usec == 500000);
	must(!getsockopt(half[1], SOL_SOCKET, SO_PEEK_OFF, &value, &len));
	same(value, 3);
	must(fcntl(stream[1], F_GETFL) & O_NONBLOCK);
}

static void child(void *arg)
{
	char c = 0;

	close(in_child[0]);
	e2e_child_ready();
	must(read(in_child[1], &c, 1) == 1 && c == 'q');
	must(write(in_child[1], "a", 1) == 1);
	_exit(0);
}

int main(int argc, char **argv)
{
	char c = 0;

	e2e_begin(argc, argv);
	must(!chdir(e2e_dir));
	make_pairs();
	make_server();
	make_datagrams();
	set_options();
	pid_t pid = e2e_fork(child, NULL);
	close(in_child[1]);
	e2e_sleep_ms(20); /* for the child to be in its read */

	e2e_wait();

	check_options();
	check_pairs();
	check_server();
	check_datagrams();
	must(write(in_child[0], "q", 1) == 1);
	must(read(in_child[0], &c, 1) == 1 && c == 'a');
	e2e_join(pid);
	return 0;
}
