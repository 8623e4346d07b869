/*
 * epoll: events and data of each watch, nested, one file under several numbers, numbers that were closed or given to
 * other files since, watches on files that only a child holds, one-shot and edge-triggered ones, a thread that waits.
 */
#include "e2e.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int epfd, outer, silent_ep, wake, only_child;

static int make(unsigned int count)
{
	int fd = eventfd(count, EFD_NONBLOCK);

	must(fd >= 0);
	return fd;
}

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	must(!epoll_ctl(ep, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = events, .data.u64 = data }));
}

/* Which data come, one bit each. */
static unsigned int events_of(int ep)
{
	struct epoll_event e[32];
	unsigned int seen = 0;
	int n = epoll_wait(ep, e, 32, 0);

	must(n >= 0);
	for (int i = 0; i < n; i++)
		seen |= 1u << e[i].data.u64;
	return seen;
}

static void *waiter(void *arg)
{
	struct epoll_event e;
	int n = epoll_wait(silent_ep, &e, 1, -1);

	if (n != 1 || e.data.u64 != 0xdeadbeefcafe)
		fail("epoll_wait returned %d (%s)", n, strerror(errno));
	return NULL;
}

static void child(void *arg)
{
	only_child = make(0);
	add(epfd, only_child, EPOLLIN, 7);
	e2e_child_ready();
	e2e_wait();
	must(!eventfd_write(only_child, 1));
	e2e_touch("written");
	while (access(e2e_path("seen"), F_OK))
		e2e_sleep_ms(1);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	eventfd_t value;

	e2e_begin(argc, argv);
	epfd = epoll_create1(EPOLL_CLOEXEC);
	outer = epoll_create1(0);
	silent_ep = epoll_create1(0);
	wake = make(0);
	int ready = make(1), idle = make(0), twice = make(0), moved = make(0), edge = make(0), shot = make(0);

	add(epfd, ready, EPOLLIN, 1);
	add(epfd, idle, EPOLLIN, 2);
	add(epfd, twice, EPOLLIN, 3);
	/* Watched under a number that is closed now; it lives on under another. */
	int old = dup(twice);
	add(epfd, old, EPOLLIN, 4);
	close(old);
	/* Watched under a number that is another file's now. */
	int kept = dup(moved);
	add(epfd, moved, EPOLLIN, 5);
	must(dup2(idle, moved) == moved);
	add(epfd, edge, EPOLLIN | EPOLLET, 6);
	add(epfd, shot, EPOLLIN | EPOLLONESHOT, 8);
	add(outer, epfd, EPOLLIN, 9);
	add(silent_ep, wake, EPOLLIN, 0xdeadbeefcafe);
	pid_t pid = e2e_fork(child, NULL);
	must(!pthread_create(&thread, NULL, waiter, NULL));

	e2e_sleep_ms(20); /* for the thread to be inside its call */

	e2e_wait();

	while (access(e2e_path("written"), F_OK))
		e2e_sleep_ms(1);
	same(events_of(outer), 1 << 9);
	same(events_of(epfd), 1 << 1 | 1 << 7);
	e2e_touch("seen");
	e2e_join(pid);
	must(!eventfd_read(ready, &value) && !eventfd_write(idle, 1) && !eventfd_write(twice, 1));
	same(events_of(epfd), 1 << 2 | 1 << 3 | 1 << 4);
	must(!eventfd_read(idle, &value) && !eventfd_read(twice, &value));
	must(!eventfd_write(kept, 1) && !eventfd_write(edge, 1) && !eventfd_write(shot, 1));
	same(events_of(epfd), 1 << 5 | 1 << 6 | 1 << 8);
	same(events_of(epfd), 1 << 5);
	/* By the number under which it was added, of another file: there is none. */
	must(epoll_ctl(epfd, EPOLL_CTL_DEL, moved, NULL) && errno == ENOENT);
	must(!epoll_ctl(epfd, EPOLL_CTL_DEL, idle, NULL));
	must(!epoll_ctl(epfd, EPOLL_CTL_MOD, shot, &(struct epoll_event){ .events = EPOLLIN, .data.u64 = 10 }));
	same(events_of(epfd), 1 << 5 | 1 << 10);
	same(fcntl(epfd, F_GETFD), FD_CLOEXEC);
	must(!eventfd_write(wake, 1));
	must(!pthread_join(thread, NULL));
	return 0;
}
