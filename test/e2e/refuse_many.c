/* Two tasks that hold descriptors of kinds that are not supported yet, among others: every one is named, none is
 * harmed. */
#include "e2e.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

struct held {
	int pair[2], event, epoll, inotify, timer, signals, faults;
};

static void expect(int fd, const char *word)
{
	e2e_expect("%d fd %d %s", getpid(), fd, word);
}

static void hold(struct held *h)
{
	struct itimerspec soon = { { 0, 0 }, { 0, 1000000 } };
	struct epoll_event event = { .events = EPOLLIN };
	sigset_t set;

	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, h->pair) && write(h->pair[0], "in flight", 9) == 9);
	h->event = eventfd(5, 0);
	h->epoll = epoll_create1(0);
	must(!epoll_ctl(h->epoll, EPOLL_CTL_ADD, h->event, &event));
	h->inotify = inotify_init1(IN_NONBLOCK);
	must(inotify_add_watch(h->inotify, e2e_dir, IN_CREATE) > 0);
	h->timer = timerfd_create(CLOCK_MONOTONIC, 0);
	must(!timerfd_settime(h->timer, 0, &soon, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	h->signals = signalfd(-1, &set, 0);
	must(!kill(getpid(), SIGUSR1));
	h->faults = syscall(SYS_userfaultfd, O_NONBLOCK | O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */);
	must(h->faults >= 0);
	expect(h->faults, "userfaultfd");
}

static void check(struct held *h)
{
	struct signalfd_siginfo info;
	struct epoll_event event;
	char buf[16] = "";
	uint64_t n = 0;

	must(read(h->pair[1], buf, 9) == 9 && !strcmp(buf, "in flight"));
	must(epoll_wait(h->epoll, &event, 1, 0) == 1);
	must(read(h->event, &n, 8) == 8 && n == 5);
	must(read(h->inotify, (char[4096]){ 0 }, 4096) > 0); /* "ready" and "check" were created */
	must(read(h->timer, &n, 8) == 8 && n == 1);
	must(read(h->signals, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR1);
}

static void child(void *arg)
{
	struct held h;

	hold(&h);
	e2e_child_ready();
	e2e_wait();
	check(&h);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct held h;

	e2e_begin(argc, argv);
	pid_t pid = e2e_fork(child, NULL);
	hold(&h);

	e2e_wait();

	check(&h);
	e2e_join(pid);
	return 0;
}
