/* epoll_wait(2), epoll_pwait2(2) on a pipe in which nothing comes. */
#include "call.h"

#include <sys/epoll.h>

static int silent[2], epfd;

static void setup(void)
{
	must(!pipe(silent));
	epfd = epoll_create1(0);
	must(epfd >= 0);
	must(!epoll_ctl(epfd, EPOLL_CTL_ADD, silent[0], &(struct epoll_event){ .events = EPOLLIN }));
}

static long timed(void)
{
	struct epoll_event e;

	return epoll_wait(epfd, &e, 1, CALL_MS);
}

static long endless(void)
{
	struct epoll_event e;

	return epoll_pwait(epfd, &e, 1, -1, NULL);
}

static void wake(void)
{
	must(write(silent[1], "x", 1) == 1);
}

static const struct call call = {
	"epoll_wait", .setup = setup, .timed = timed, .endless = endless, .wake = wake, .endless_result = 1,
};
