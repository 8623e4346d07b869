/*
 * Threads that wait in calls of all kinds for something that never comes, and one that computes: none may come
 * back, whatever happens to the dumper. Not among them are calls that the kernel itself ends with EINTR whenever
 * their thread stops (epoll_wait, sigtimedwait, ...): a dumper that dies before it has seen the stop cannot hide it.
 */
#include "e2e.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/select.h>

static int silent[2], word;
static volatile unsigned long rounds;

static void __attribute__((noreturn)) returned(const char *what, long result)
{
	fail("%s returned %ld (%s)", what, result, strerror(errno));
	_exit(1);
}

static void *in_read(void *arg)
{
	char c;

	returned("read", read(silent[0], &c, 1));
}

static void *in_futex(void *arg)
{
	returned("futex", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
}

static void *in_timed_futex(void *arg)
{
	struct timespec t = { 100000, 0 };

	returned("timed futex", syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0));
}

static void *in_nanosleep(void *arg)
{
	struct timespec t = { 100000, 0 };

	returned("nanosleep", nanosleep(&t, NULL));
}

static void *in_poll(void *arg)
{
	struct pollfd p = { silent[0], POLLIN, 0 };

	returned("poll", poll(&p, 1, 100000000));
}

static void *in_select(void *arg)
{
	struct timeval t = { 100000, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(silent[0], &set);
	returned("select", select(silent[0] + 1, &set, NULL, NULL, &t));
}

static void *in_suspend(void *arg)
{
	sigset_t none;

	sigemptyset(&none);
	returned("sigsuspend", sigsuspend(&none));
}

/* Sums in registers and on the stack must not change between one instruction and the next. */
static void *computing(void *arg)
{
	struct timespec pause = { 0, 100000 };

	for (;; rounds++) {
		volatile double x = 1;
		unsigned long n = 0;

		for (unsigned long i = 1; i <= 20000; i++) {
			n += i;
			x = x * 1.0000001 + 0.5;
		}
		if (n != 200010000 || x < 10000 || x > 10020)
			fail("computed %lu and %f", n, x);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static void *(*const bodies[])(void *) = { in_read, in_futex,  in_timed_futex, in_nanosleep,
						   in_poll, in_select, in_suspend,     computing };
	pthread_t thread;

	e2e_begin(argc, argv);
	must(!pipe(silent));
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
		must(!pthread_create(&thread, NULL, bodies[i], NULL));
	while (!rounds)
		e2e_sleep_ms(1);
	e2e_sleep_ms(200); /* for all of them to be inside their calls, on a busy machine too */

	e2e_wait();

	unsigned long before = rounds;
	while (rounds == before)
		e2e_sleep_ms(1);
	return 0;
}
