/* Interval timers of the process: a running one that keeps its period, one that has long to go, a virtual one. */
#include "e2e.h"

#include <sys/time.h>

static volatile sig_atomic_t ticks;

static void tick(int number)
{
	ticks++;
}

static void expect_timer(int which, long long value, long long interval)
{
	struct itimerval now;

	must(!getitimer(which, &now));
	same(now.it_interval.tv_sec * 1000000ll + now.it_interval.tv_usec, interval);
	long long left = now.it_value.tv_sec * 1000000ll + now.it_value.tv_usec;
	if (left <= 0 || left > value + 20000) /* + a tick */
		fail("timer %d has %lld us left, of %lld", which, left, value);
}

static void long_timers(void *arg)
{
	struct itimerval real = { { 7, 5 }, { 3600, 0 } }, virt = { { 9, 0 }, { 1000, 0 } },
			 prof = { { 0, 0 }, { 2000, 0 } };

	must(!setitimer(ITIMER_REAL, &real, NULL) && !setitimer(ITIMER_VIRTUAL, &virt, NULL) &&
	     !setitimer(ITIMER_PROF, &prof, NULL));
	e2e_child_ready();
	e2e_wait();
	expect_timer(ITIMER_REAL, 3600000000, 7000005);
	expect_timer(ITIMER_VIRTUAL, 1000000000, 9000000);
	expect_timer(ITIMER_PROF, 2000000000, 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct itimerval fast = { { 0, 20000 }, { 0, 20000 } };
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };

	e2e_begin(argc, argv);
	sigaction(SIGALRM, &action, NULL);
	must(!setitimer(ITIMER_REAL, &fast, NULL));
	pid_t pid = e2e_fork(long_timers, NULL);

	e2e_wait();

	int before = ticks;
	for (int i = 0; ticks < before + 5; i++) {
		if (i > 3000)
			fail("the timer does not tick any more");
		e2e_sleep_ms(5);
	}
	expect_timer(ITIMER_REAL, 20000, 20000);
	e2e_join(pid);
	return 0;
}
