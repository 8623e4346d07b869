/* POSIX timers: identities with gaps, clocks, what they tell and whom, a period that goes on, one that is not armed. */
#include "e2e.h"

static volatile sig_atomic_t ticks, value;

static void tick(int number, siginfo_t *info, void *context)
{
	ticks++;
	value = info->si_value.sival_int;
}

static int new_timer(clockid_t clock, int notify, int number, int with)
{
	struct sigevent event = { .sigev_notify = notify, .sigev_signo = number, .sigev_value.sival_int = with };
	int id;

	if (notify == SIGEV_THREAD_ID)
		event._sigev_un._tid = gettid();
	must(!syscall(SYS_timer_create, clock, &event, &id));
	return id;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = tick, .sa_flags = SA_RESTART | SA_SIGINFO };
	struct itimerspec fast = { { 0, 20000000 }, { 0, 20000000 } }, slow = { { 5, 7 }, { 3600, 0 } }, now;

	e2e_begin(argc, argv);
	sigaction(SIGRTMIN, &action, NULL);
	int first = new_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, 4711);
	int gone = new_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0);
	int second = new_timer(CLOCK_REALTIME, SIGEV_THREAD_ID, SIGRTMIN + 1, 5);
	int idle = new_timer(CLOCK_BOOTTIME, SIGEV_NONE, 0, 0);
	must(!syscall(SYS_timer_delete, gone));
	must(!syscall(SYS_timer_settime, first, 0, &fast, NULL) && !syscall(SYS_timer_settime, second, 0, &slow, NULL));

	e2e_wait();

	int before = ticks;
	for (int i = 0; ticks < before + 5; i++) {
		if (i > 3000)
			fail("the timer does not tick any more");
		e2e_sleep_ms(5);
	}
	same(value, 4711);
	must(!syscall(SYS_timer_gettime, second, &now));
	same(now.it_interval.tv_sec * 1000000000ll + now.it_interval.tv_nsec, 5000000007);
	must(now.it_value.tv_sec <= 3600 && now.it_value.tv_sec > 3000);
	must(!syscall(SYS_timer_gettime, idle, &now));
	must(!now.it_value.tv_sec && !now.it_value.tv_nsec);
	must(syscall(SYS_timer_gettime, gone, &now) == -1 && errno == EINVAL);
	return 0;
}
