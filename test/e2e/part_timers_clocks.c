/*
 * POSIX timers of all clocks, of CPU time too, that tell the process, a thread or nobody; signals that wait, with
 * overruns to come; timers that end around a dump, each of which must tell exactly once.
 */
#include "e2e.h"

#include <pthread.h>

#define ONCE 150 /* timers that end 1 ms after each other */
#define NSEC 1000000000ll
#ifndef CLOCK_TAI
#define CLOCK_TAI 11
#endif

static volatile pid_t other;
static volatile bool checked;

static int new_timer(clockid_t clock, int notify, int number, int with, pid_t tid)
{
	struct sigevent event = { .sigev_notify = notify, .sigev_signo = number, .sigev_value.sival_int = with };
	int id;

	event._sigev_un._tid = tid;
	if (syscall(SYS_timer_create, clock, &event, &id))
		fail("timer of clock %d: %s", clock, strerror(errno));
	return id;
}

static void start(int id, long long value, long long interval)
{
	struct itimerspec spec = { { interval / NSEC, interval % NSEC }, { value / NSEC, value % NSEC } };

	must(!syscall(SYS_timer_settime, id, 0, &spec, NULL));
}

/* It may not have less than that left, and not more than it was given. */
static void expect(int id, long long value, long long interval, long long spent)
{
	struct itimerspec now;

	must(!syscall(SYS_timer_gettime, id, &now));
	long long left = now.it_value.tv_sec * NSEC + now.it_value.tv_nsec;
	same(now.it_interval.tv_sec * NSEC + now.it_interval.tv_nsec, interval);
	if (left > value || left < value - spent)
		fail("timer %d has %lld ns left, of %lld", id, left, value);
}

/* Takes a signal of a timer that waits, or comes in three seconds. Returns its value, -1 when there is none. */
static int take(int number, long seconds)
{
	const struct timespec limit = { seconds, 0 };
	siginfo_t info;
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, number);
	while ((got = sigtimedwait(&set, &info, &limit)) < 0 && errno == EINTR)
		;
	if (got < 0)
		return -1;
	same(info.si_code, SI_TIMER);
	return info.si_value.sival_int;
}

static void *thread(void *arg)
{
	other = gettid();
	e2e_wait();
	for (int i = 0; i < 3; i++)
		same(take(SIGRTMIN + 1, 3), 3);
	while (!checked) /* with it its clock would end */
		e2e_sleep_ms(1);
	return NULL;
}

/* Each has told once, and tells no more. */
static void check_singles(const int *ids)
{
	int told[ONCE] = {};

	for (int i = 0; i < ONCE; i++) {
		int which = take(SIGRTMIN, 3);

		if (which < 0 || which >= ONCE || told[which]++)
			fail("signal %d of %d tells of timer %d", i, ONCE, which);
	}
	same(take(SIGRTMIN, 0), -1);
	for (int i = 0; i < ONCE; i++)
		expect(ids[i], 0, 0, 0);
}

/* Long ones of each clock, and one that is not armed behind a gap of many. */
static void check_clocks(const int *ids, size_t n, int idle)
{
	for (size_t i = 0; i < n; i++)
		expect(ids[i], (4000 + i) * NSEC, (i + 1) * NSEC + i, 600 * NSEC);
	expect(idle, 0, 0, 0);
}

int main(int argc, char **argv)
{
	static const clockid_t clocks[] = { CLOCK_REALTIME, CLOCK_MONOTONIC,	      CLOCK_BOOTTIME,
					    CLOCK_TAI,	    CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID };
	int ids[7], singles[ONCE], gone[100], n = 0;
	sigset_t all;
	clockid_t cpu;
	pthread_t t;

	e2e_begin(argc, argv);
	/* They wait all the time: the runner sees the same before and after, whenever it looks. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	must(!pthread_create(&t, NULL, thread, NULL));
	while (!other)
		e2e_sleep_ms(1);
	must(!pthread_getcpuclockid(t, &cpu));
	for (; n < 6; n++)
		ids[n] = new_timer(clocks[n], SIGEV_SIGNAL, SIGUSR1, n, 0);
	ids[n++] = new_timer(cpu, SIGEV_NONE, 0, 0, 0);
	for (int i = 0; i < n; i++)
		start(ids[i], (4000 + i) * NSEC, (i + 1) * NSEC + i);
	for (int i = 0; i < 100; i++)
		gone[i] = new_timer(CLOCK_MONOTONIC, SIGEV_NONE, 0, 0, 0);
	int idle = new_timer(CLOCK_BOOTTIME, SIGEV_SIGNAL, SIGUSR1, 0, 0);
	for (int i = 0; i < 100; i++)
		must(!syscall(SYS_timer_delete, gone[i]));
	int waiting = new_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN + 2, 1, 0);
	int waiting_often = new_timer(CLOCK_BOOTTIME, SIGEV_THREAD_ID, SIGRTMIN + 3, 2, gettid());
	int of_thread = new_timer(CLOCK_MONOTONIC, SIGEV_THREAD_ID, SIGRTMIN + 1, 3, other);
	start(waiting, 1, 0);
	start(waiting_often, 1, 10000000);
	start(of_thread, 5000000, 5000000);
	for (int i = 0; i < ONCE; i++)
		singles[i] = new_timer(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN, i, 0);
	for (int i = 0; i < ONCE; i++)
		start(singles[i], (i + 1) * 1000000, 0);
	e2e_sleep_ms(6);

	e2e_wait();

	check_clocks(ids, n, idle);
	checked = true;
	pthread_join(t, NULL);
	check_singles(singles);
	same(take(SIGRTMIN + 2, 0), 1);
	same(take(SIGRTMIN + 2, 0), -1);
	expect(waiting, 0, 0, 0);
	same(take(SIGRTMIN + 3, 0), 2);
	expect(waiting_often, 10000000, 10000000, 10000000);
	return 0;
}
