/*
 * Interval timers (getitimer(2), asked inside) and POSIX timers (timer_create(2)): what they are from
 * /proc/PID/timers, what is left of them asked inside.
 * Does not handle: expirations that a pending signal has not told yet, which no interface shows.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cleanup.h"
#include "kernel_look.h"
#include "log.h"
#include "timer_clock.h"

#define ROUNDS 8
#define OWN_THREAD_CLOCK (-2) /* how the kernel shows CLOCK_THREAD_CPUTIME_ID */

static struct dump_thread *find_thread(const struct dump_task *t, pid_t tid)
{
	for (size_t i = 0; i < t->n_threads; i++)
		if (t->threads[i].tid == tid)
			return &t->threads[i];
	return NULL;
}

/* Takes the next line, "LABEL: %...". Returns what stands behind the label, or NULL. */
static const char *next_line(char **text, const char *label)
{
	char *line = strsep(text, "\n");
	size_t len = strlen(label);

	return line && !strncmp(line, label, len) ? line + len : NULL;
}

static int parse_notify(const char *text, struct posix_timer *timer)
{
	char how[8], whom[4];

	if (sscanf(text, "%7[a-z]/%3[a-z].%d", how, whom, &timer->target) != 3)
		return -EBADMSG;
	timer->notify = !strcmp(how, "none") ? SIGEV_NONE : !strcmp(how, "thread") ? SIGEV_THREAD : SIGEV_SIGNAL;
	timer->notify |= strcmp(whom, "tid") ? 0 : SIGEV_THREAD_ID;
	return 0;
}

static int parse_timer(char **text, struct posix_timer *timer)
{
	const char *id = next_line(text, "ID: "), *sig = next_line(text, "signal: "),
		   *notify = next_line(text, "notify: "), *clock = next_line(text, "ClockID: ");

	if (!id || !sig || !notify || !clock || sscanf(id, "%d", &timer->id) != 1 ||
	    sscanf(sig, "%d/%lx", &timer->signal, &timer->value) != 2 || sscanf(clock, "%d", &timer->clock) != 1)
		return -EBADMSG;
	return parse_notify(notify, timer);
}

static int compare_timers(const void *a, const void *b)
{
	const struct posix_timer *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int read_proc(struct dump_task *t)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0, room = 0;
	int err = task_has_no_timers(t) ? 0 : proc_read(t->proc, "timers", &text, &len);

	if (err || !len) /* without CONFIG_CHECKPOINT_RESTORE there is no such file */
		return err == -ESRCH ? 0 : err;
	for (char *rest = text; !err && rest && *rest;) {
		if (t->n_timers == room) {
			room = room ? room * 2 : 8;
			struct posix_timer *bigger = realloc(t->timers, room * sizeof(*bigger));

			if (!bigger)
				return log_errno(ENOMEM, "timers of task %d", t->pid);
			t->timers = bigger;
		}
		t->timers[t->n_timers] = (struct posix_timer){};
		err = parse_timer(&rest, &t->timers[t->n_timers++]);
	}
	if (err)
		return log_errno(-err, "can't understand /proc/%d/timers", t->pid);
	qsort(t->timers, t->n_timers, sizeof(*t->timers), compare_timers);
	return 0;
}

static int judge_clock(struct dump_task *t, const struct posix_timer *timer)
{
	pid_t pid = CPU_CLOCK_PID(timer->clock);

	if (is_cpu_clock(timer->clock)) {
		/* a thread's is always one of this task: another one's cannot be had */
		if (!pid || timer->clock & CPU_CLOCK_THREAD || dump_task_by_pid(t->dump, pid))
			return 0;
		return blocker_add(t->dump, t->pid, "POSIX timer",
				   "it counts the CPU time of a process outside the tree",
				   "dump a tree that holds both", "timer %d, process %d", timer->id, pid);
	}
	if (is_system_clock(timer->clock))
		return 0;
	return blocker_add(t->dump, t->pid, "POSIX timer", "its clock is not known",
			   "dump it when it has deleted the timer", "timer %d, clock %d", timer->id, timer->clock);
}

static int judge(struct dump_task *t)
{
	int err = 0;

	for (size_t i = 0; i < t->n_timers && !err; i++) {
		struct posix_timer *timer = &t->timers[i];

		err = judge_clock(t, timer);
		if (timer->notify & SIGEV_THREAD_ID && !find_thread(t, timer->target)) {
			/* as good as none, and that can be restored */
			log_warn("task %d: timer %d was to tell thread %d, which has ended: it will tell nobody",
				 t->pid, timer->id, timer->target);
			timer->notify = SIGEV_NONE;
		}
		if (timer->clock == OWN_THREAD_CLOCK && t->n_threads > 1 && !(timer->notify & SIGEV_THREAD_ID))
			log_warn("task %d: timer %d counts the CPU time of a thread, but not even the kernel tells of "
				 "which: after a restore it is that of the main thread",
				 t->pid, timer->id);
	}
	return err;
}

/* What is left of all timers, now. */
static int read_timers(struct dump_task *t)
{
	struct parasite_timers answer;
	int32_t ids[PARASITE_TIMERS];
	size_t done = 0;

	do {
		size_t n = t->n_timers - done < PARASITE_TIMERS ? t->n_timers - done : PARASITE_TIMERS;

		for (size_t i = 0; i < n; i++)
			ids[i] = t->timers[done + i].id;
		int err = parasite_get_timers(&t->parasite, ids, n, &answer);
		if (err)
			return err;
		for (size_t i = 0; i < n; i++) {
			if (answer.timers[i].result)
				return log_errno(-answer.timers[i].result, "task %d can't read its timer %d", t->pid,
						 ids[i]);
			t->timers[done + i].left = answer.timers[i];
		}
		done += n;
	} while (done < t->n_timers);
	memcpy(t->inside.itimers, answer.itimers, sizeof(t->inside.itimers));
	return 0;
}

/* Signals that came since the queues were read, of the process and of the threads that timers tell. */
static long new_signals(struct dump_task *t)
{
	int err = parasite_hold(&t->parasite);

	if (err)
		return err;
	long n = signals_look_again(t, &t->threads[0]);
	for (size_t i = 0; i < t->n_timers && n >= 0; i++) {
		if (!(t->timers[i].notify & SIGEV_THREAD_ID))
			continue;
		long more = signals_look_again(t, find_thread(t, t->timers[i].target));
		n = more < 0 ? more : n + more;
	}
	err = parasite_resume(&t->parasite);
	return err ? err : n;
}

static uint64_t known_signals(const struct dump_task *t)
{
	const struct proc_status *st = &t->threads[0].status;

	return st->pending | st->shared_pending;
}

/*
 * Timers go on while the tree stands still. One that ended after the queues of signals were read shows no more
 * time, and its signal would be lost; so both are read again until nothing comes in between.
 */
static int collect_inside(struct dump_task *t)
{
	if (!t->n_timers && !(t->inside.pending & ~known_signals(t)))
		return 0;
	for (int round = 0; round < ROUNDS; round++) {
		int err = read_timers(t);
		long n = err ? err : new_signals(t);

		if (n <= 0)
			return n;
	}
	return 0;
}

static ItimerEntry *fill_itimer(const uint64_t timer[4], struct arena *arena)
{
	ItimerEntry *e = arena_get(arena, sizeof(*e));

	if (!e)
		return NULL;
	itimer_entry__init(e);
	e->isec = timer[0];
	e->iusec = timer[1];
	e->vsec = timer[2];
	e->vusec = timer[3];
	return e;
}

static void fill_posix(const struct posix_timer *timer, PosixTimerEntry *e)
{
	const struct parasite_timer *left = &timer->left;

	posix_timer_entry__init(e);
	e->it_id = timer->id;
	e->clock_id = timer->clock;
	e->si_signo = timer->signal;
	e->it_sigev_notify = timer->notify;
	e->sival_ptr = timer->value;
	e->overrun = left->overrun > 0 ? left->overrun : 0;
	e->isec = left->interval_sec;
	e->insec = left->interval_nsec;
	e->vsec = left->value_sec;
	e->vnsec = left->value_nsec;
	e->has_notify_thread_id = timer->notify & SIGEV_THREAD_ID;
	e->notify_thread_id = timer->target;
}

static int fill_all_posix(const struct dump_task *t, TaskTimersEntry *timers, struct arena *arena)
{
	PosixTimerEntry *e = arena_get(arena, t->n_timers * sizeof(*e) + 1);

	timers->posix = arena_get(arena, t->n_timers * sizeof(*timers->posix) + 1);
	if (!e || !timers->posix)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_timers; i++) {
		fill_posix(&t->timers[i], &e[i]);
		timers->posix[i] = &e[i];
	}
	timers->n_posix = t->n_timers;
	return 0;
}

static int fill(const struct dump_task *t, CoreEntry *core, struct arena *arena)
{
	TaskTimersEntry *e = arena_get(arena, sizeof(*e));
	uint64_t real[4];

	if (!e)
		return -ENOMEM;
	task_timers_entry__init(e);
	memcpy(real, t->inside.itimers[0], sizeof(real));
	/*
	 * ITIMER_REAL is started anew when its signal is taken: with the signal still pending it shows no time. To
	 * set it so would stop it. POSIX timers always show when they end next.
	 */
	if (!real[2] && !real[3]) {
		real[2] = real[0];
		real[3] = real[1];
	}
	e->real = fill_itimer(real, arena);
	e->virt = fill_itimer(t->inside.itimers[1], arena);
	e->prof = fill_itimer(t->inside.itimers[2], arena);
	core->tc->timers = e;
	int err = e->real && e->virt && e->prof ? 0 : -ENOMEM;
	return err ? err : fill_all_posix(t, e, arena);
}

const struct dump_part dump_part_timers = {
	.name = "timers",
	.read = read_proc,
	.judge = judge,
	.collect_inside = collect_inside,
	.fill = fill,
};
