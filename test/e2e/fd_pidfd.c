/* pidfds: of itself, of a child, a grandchild's of its parent, of a zombie, of dead ones, shared, in an epoll. */
#include "e2e.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>

static int self, early, later, zombie, dead[3], epoll;
static pid_t elder, younger;

static bool ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static bool refers_to(int fd, pid_t pid)
{
	char path[64], line[128];
	int found = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Pid: %d", &found) == 1)
			break;
	fclose(f);
	return found == pid;
}

/* It was forked before the younger one, of which it has a pidfd all the same, by a socket. */
static void elder_main(void *arg)
{
	int pair[2] = { *(int *)arg, -1 }, parent = pidfd_open(getppid(), PIDFD_NONBLOCK);
	char room[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };

	must(parent >= 0);
	e2e_child_ready();
	must(recvmsg(pair[0], &msg, 0) == 1);
	int fd = *(int *)CMSG_DATA(CMSG_FIRSTHDR(&msg));
	must(write(pair[0], "got", 3) == 3);
	e2e_wait();
	must(fcntl(parent, F_GETFL) & O_NONBLOCK);
	must(refers_to(parent, getppid()) && !ended(parent));
	while (!ended(fd))
		e2e_sleep_ms(2);
	must(refers_to(self, getppid()));
	_exit(0);
}

static void younger_main(void *arg)
{
	e2e_child_ready();
	for (;;)
		pause();
}

static pid_t end_now(bool reap)
{
	pid_t pid = fork();

	if (!pid)
		_exit(3);
	must(pid > 0 && !waitid(P_PID, pid, NULL, WEXITED | (reap ? 0 : WNOWAIT)));
	return pid;
}

static void pass(int sock, int fd)
{
	char room[CMSG_SPACE(sizeof(int))] = {}, buf[8];
	struct iovec iov = { buf, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	*c = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	must(sendmsg(sock, &msg, 0) == 1 && read(sock, buf, 3) == 3);
}

static void set_up(void)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 77 };
	int pair[2];

	must((self = pidfd_open(getpid(), 0)) >= 0 && !socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	elder = e2e_fork(elder_main, &pair[1]);
	younger = e2e_fork(younger_main, NULL);
	must((early = pidfd_open(elder, 0)) >= 0 && (later = pidfd_open(younger, 0)) >= 0);
	pass(pair[0], later);
	must((epoll = epoll_create1(0)) >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, later, &event));
	must((zombie = pidfd_open(end_now(false), 0)) >= 0);
	for (int i = 0; i < 3; i += 2) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		must((dead[i] = pidfd_open(pid, 0)) >= 0);
		if (!i)
			must((dead[1] = pidfd_open(pid, 0)) >= 0);
		must(waitpid(pid, NULL, 0) == pid);
	}
}

int main(int argc, char **argv)
{
	struct epoll_event event;
	struct stat st[3];
	siginfo_t si = {};

	e2e_begin(argc, argv);
	set_up();

	e2e_wait();

	must(refers_to(self, getpid()) && refers_to(early, elder) && refers_to(later, younger));
	must(!ended(self) && !ended(later));
	same(epoll_wait(epoll, &event, 1, 0), 0);
	must(ended(zombie) && !waitid(P_PIDFD, zombie, &si, WEXITED));
	same(si.si_status, 3);
	for (int i = 0; i < 3; i++)
		must(ended(dead[i]) && !fstat(dead[i], &st[i]) && pidfd_send_signal(dead[i], 0, NULL, 0) < 0 &&
		     errno == ESRCH);
	must(st[0].st_ino == st[1].st_ino);
	must(!pidfd_send_signal(later, SIGKILL, NULL, 0));
	same(epoll_wait(epoll, &event, 1, -1), 1);
	same(event.data.u64, 77);
	must(!waitid(P_PIDFD, later, &si, WEXITED) && si.si_pid == younger);
	must(!waitid(P_PIDFD, early, &si, WEXITED) && si.si_pid == elder);
	same(si.si_status, 0);
	return 0;
}
