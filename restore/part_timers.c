/*
 * Interval timers (setitimer) and POSIX timers (timer_create): they go on with the time that was left.
 * Does not handle: what timer_getoverrun(2) told of the last signal, which cannot be set.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "block.h"
#include "plan.h"
#include "timer_clock.h"

#define NSEC 1000000000u
#define PR_TIMER_CREATE_RESTORE_IDS_ 77 /* 6.16 */
#define RESTORE_IDS_GET 2
#define MAX_COUNTED_ID (1 << 24) /* without that: more calls than anybody wants to wait for */
#define CPU_CLOCK_OF(tid) ((clockid_t)(~(uint32_t)(tid) << 3 | 6)) /* time of a thread as the scheduler counts it */

static void check_itimer(struct plan *plan, pid_t pid, const ItimerEntry *e)
{
	if (e->iusec >= 1000000 || e->vusec >= 1000000 || e->isec >> 62 || e->vsec >> 62)
		plan_refuse(plan, "core-%d.img: interval timer out of range", pid);
}

static bool has_thread(const struct plan_task *task, pid_t tid)
{
	for (size_t i = 0; i < task->n_threads; i++)
		if (task->threads[i].tid == tid)
			return true;
	return false;
}

static bool is_clock(const struct plan *plan, const struct plan_task *task, clockid_t clock)
{
	pid_t pid = CPU_CLOCK_PID(clock);

	if (is_system_clock(clock))
		return true;
	if (!is_cpu_clock(clock))
		return false;
	return !pid || (clock & CPU_CLOCK_THREAD ? has_thread(task, pid) : plan_task_by_pid(plan, pid) != NULL);
}

static bool is_notify(const struct plan_task *task, const PosixTimerEntry *e)
{
	switch (e->it_sigev_notify) {
	case SIGEV_NONE:
		return true;
	case SIGEV_THREAD_ID:
		return e->has_notify_thread_id && has_thread(task, e->notify_thread_id) && e->si_signo >= 1 &&
		       e->si_signo <= SIGNALS;
	case SIGEV_SIGNAL:
	case SIGEV_THREAD:
		return e->si_signo >= 1 && e->si_signo <= SIGNALS;
	}
	return false;
}

static void check_posix(struct plan *plan, const struct plan_task *task, const PosixTimerEntry *e)
{
	pid_t pid = task->pid;

	if (e->it_id > INT32_MAX)
		plan_refuse(plan, "core-%d.img: POSIX timer with the id %u", pid, e->it_id);
	else if (e->it_id > MAX_COUNTED_ID && prctl(PR_TIMER_CREATE_RESTORE_IDS_, RESTORE_IDS_GET, 0, 0, 0) < 0)
		plan_refuse_here(
			plan, "task %d has a POSIX timer with the id %u, which this kernel cannot give: Linux 6.16 can",
			pid, e->it_id);
	if (!is_clock(plan, task, e->clock_id))
		plan_refuse(plan, "core-%d.img: POSIX timer %u of a clock that is not known here: %d", pid, e->it_id,
			    (int)e->clock_id);
	if (!is_notify(task, e))
		plan_refuse(plan,
			    "core-%d.img: POSIX timer %u tells by signal %u, notification %u, thread %d: malformed",
			    pid, e->it_id, e->si_signo, e->it_sigev_notify, e->notify_thread_id);
	if (e->insec >= NSEC || e->vnsec >= NSEC || e->isec >> 62 || e->vsec >> 62)
		plan_refuse(plan, "core-%d.img: POSIX timer %u out of range", pid, e->it_id);
}

static int compare_ids(const void *a, const void *b)
{
	const PosixTimerEntry *x = *(PosixTimerEntry *const *)a, *y = *(PosixTimerEntry *const *)b;

	return x->it_id < y->it_id ? -1 : x->it_id > y->it_id;
}

static int timers_read(struct plan *plan, struct plan_task *task)
{
	const TaskTimersEntry *timers = task->core->timers;

	if (!timers)
		return 0;
	check_itimer(plan, task->pid, timers->real);
	check_itimer(plan, task->pid, timers->virt);
	check_itimer(plan, task->pid, timers->prof);
	if (timers->n_posix)
		qsort(timers->posix, timers->n_posix, sizeof(*timers->posix), compare_ids);
	for (size_t i = 0; i < timers->n_posix; i++) {
		check_posix(plan, task, timers->posix[i]);
		if (i && timers->posix[i]->it_id == timers->posix[i - 1]->it_id)
			plan_refuse(plan, "core-%d.img: two POSIX timers with the id %u", task->pid,
				    timers->posix[i]->it_id);
	}
	return 0;
}

static void fill_itimer(struct restorer_timer *t, const ItimerEntry *e)
{
	*t = (struct restorer_timer){ e->isec, e->iusec, e->vsec, e->vusec };
}

/* The main thread makes the timers: the clock of "this thread" would be its. Who is told is most likely meant. */
static clockid_t clock_of(const struct plan_task *task, const PosixTimerEntry *e)
{
	clockid_t clock = e->clock_id;
	bool own = clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && clock & CPU_CLOCK_THREAD && !CPU_CLOCK_PID(clock));

	if (own && e->it_sigev_notify == SIGEV_THREAD_ID && e->notify_thread_id != task->pid)
		return CPU_CLOCK_OF(e->notify_thread_id);
	return clock;
}

static void fill_posix(const struct plan_task *task, const PosixTimerEntry *e, struct restorer_posix_timer *t)
{
	*t = (struct restorer_posix_timer){
		.id = e->it_id,
		.clock = clock_of(task, e),
		.notify = e->it_sigev_notify,
		.signal = e->si_signo,
		.tid = e->it_sigev_notify == SIGEV_THREAD_ID ? e->notify_thread_id : 0,
		.value = e->sival_ptr,
		.interval_sec = e->isec,
		.interval_nsec = e->insec,
		.value_sec = e->vsec,
		.value_nsec = e->vnsec,
	};
	/* One with an interval goes on, though it may show no time while its signal is pending. */
	if (!t->value_sec && !t->value_nsec) {
		t->value_sec = t->interval_sec;
		t->value_nsec = t->interval_nsec;
	}
	t->armed = t->value_sec || t->value_nsec;
}

static int timers_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	const TaskTimersEntry *timers = task->core->timers;
	struct restorer_args *args = block->args;

	if (!timers)
		return 0;
	/* In the order of ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF. */
	fill_itimer(&args->timers[0], timers->real);
	/* Its signal is pending, which would start it anew: CRIU writes it so. Without a start it would stay still. */
	if (!timers->real->vsec && !timers->real->vusec) {
		args->timers[0].value_sec = timers->real->isec;
		args->timers[0].value_usec = timers->real->iusec;
	}
	fill_itimer(&args->timers[1], timers->virt);
	fill_itimer(&args->timers[2], timers->prof);
	/* They all begin at zero. */
	static const struct restorer_timer zero[3];
	args->set_timers = memcmp(args->timers, zero, sizeof(zero)) != 0;
	if (!timers->n_posix)
		return 0;
	struct restorer_posix_timer *posix = block_alloc(block, timers->n_posix * sizeof(*posix));
	if (!posix)
		return -ENOMEM;
	for (size_t i = 0; i < timers->n_posix; i++)
		fill_posix(task, timers->posix[i], &posix[i]);
	args->n_posix = timers->n_posix;
	args->posix = posix;
	return 0;
}

const struct restore_part restore_part_timers = { .name = "timers", .read = timers_read, .fill = timers_fill };
