/*
 * Whom SO_PEERCRED names: who made a pair, also when that one is gone or another user; who connected to a server, and
 * who listened; who waits to be accepted.
 */
#include "e2e.h"

#include <sys/socket.h>
#include <sys/un.h>

#define USER 4711
#define GROUP 4712

static int pair[2], listener, waiting_listener;
static struct ucred child_cred;

static struct ucred peer_of(int fd)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	must(!getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size));
	return cred;
}

static void expect(const char *what, int fd, struct ucred wanted)
{
	struct ucred now = peer_of(fd);

	if (now.pid != wanted.pid || now.uid != wanted.uid || now.gid != wanted.gid)
		fail("%s: %d %u %u instead of %d %u %u", what, now.pid, now.uid, now.gid, wanted.pid, wanted.uid,
		     wanted.gid);
}

static void become_other(void)
{
	must(!syscall(SYS_setresgid, GROUP, GROUP, -1) && !syscall(SYS_setresuid, USER, USER, -1));
}

static int reach(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	int len = sprintf(a.sun_path + 1, "%s-%d", name, e2e_first);
	must(fd >= 0 && !connect(fd, (struct sockaddr *)&a, 3 + len));
	return fd;
}

static int serve(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	int len = sprintf(a.sun_path + 1, "%s-%d", name, e2e_first);
	must(fd >= 0 && !bind(fd, (struct sockaddr *)&a, 3 + len) && !listen(fd, 4));
	return fd;
}

/* Makes a pair in the table of its parent, and ends. */
static void make_pair(void *arg)
{
	int *sent = arg, made[2];
	char byte = 0, control[CMSG_SPACE(2 * sizeof(int))] = "";
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	become_other();
	must(!socketpair(AF_UNIX, SOCK_DGRAM, 0, made));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(made));
	memcpy(CMSG_DATA(c), made, sizeof(made));
	must(sendmsg(sent[1], &msg, 0) == 1);
	_exit(0);
}

static void take_pair(int from, int made[2])
{
	char byte, control[CMSG_SPACE(2 * sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)
	};

	must(recvmsg(from, &msg, 0) == 1);
	memcpy(made, CMSG_DATA(CMSG_FIRSTHDR(&msg)), 2 * sizeof(int));
}

static void child(void *name)
{
	struct ucred parent = { getppid(), 0, 0 };

	become_other();
	int connected = reach(name), waiting = reach("waiting"), own[2];
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, own));
	struct ucred self = { getpid(), USER, GROUP };

	e2e_child_ready();
	e2e_wait();
	expect("own pair", own[0], self);
	expect("inherited pair", pair[1], parent);
	expect("server", connected, parent);
	expect("server that has not accepted", waiting, parent);
	while (access("accepted", F_OK))
		e2e_sleep_ms(2);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct ucred self = { getpid(), 0, 0 };
	int sent[2], gone[2];

	e2e_begin(argc, argv);
	must(!chmod(e2e_dir, 0777));
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair) && !socketpair(AF_UNIX, SOCK_DGRAM, 0, sent));
	listener = serve("listening");
	waiting_listener = serve("waiting");
	pid_t maker = e2e_fork(make_pair, sent);
	take_pair(sent[0], gone);
	e2e_join(maker);
	pid_t pid = e2e_fork(child, "listening");
	int accepted = accept(listener, NULL, NULL);
	must(accepted >= 0);
	child_cred = (struct ucred){ pid, USER, GROUP };
	expect("client at the start", accepted, child_cred);
	expect("pair of one that is gone, at the start", gone[0], (struct ucred){ maker, USER, GROUP });

	e2e_wait();

	expect("pair", pair[0], self);
	expect("pair of one that is gone", gone[0], (struct ucred){ maker, USER, GROUP });
	expect("other end of it", gone[1], (struct ucred){ maker, USER, GROUP });
	expect("client", accepted, child_cred);
	int late = accept(waiting_listener, NULL, NULL);
	must(late >= 0);
	expect("client that waited", late, child_cred);
	e2e_touch("accepted");
	e2e_join(pid);
	return 0;
}
