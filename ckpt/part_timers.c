/* Interval timers (getitimer(2), asked inside). POSIX timers are not supported yet: /proc/PID/timers names them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include "cleanup.h"
#include "dump.h"

#define QUERY(which)                                                                                                   \
	{                                                                                                              \
		.what = "interval timers", .nr = SYS_getitimer, .arg = which,                                          \
		.answer = offsetof(struct dump_thread, itimers[which]),                                                \
		.size = sizeof(((struct dump_thread *)0)->itimers[which]), .main_only = true,                          \
	}

static const struct dump_query queries[] = { QUERY(ITIMER_REAL), QUERY(ITIMER_VIRTUAL), QUERY(ITIMER_PROF) };

static int judge_timers(struct dump_task *t)
{
	_cleanup_free_ char *text = NULL;
	size_t len = 0;
	int err = proc_read(t->proc, "timers", &text, &len);

	if (err || !len) /* without CONFIG_CHECKPOINT_RESTORE there is no such file */
		return err == -ESRCH ? 0 : err;
	return blocker_add(t->dump, t->pid, "POSIX timer", "timers of timer_create(2) are not supported yet",
			   "use setitimer, timerfd comes later; or dump it when it has deleted them", "timer %d",
			   atoi(text + strcspn(text, "0123456789")));
}

static ItimerEntry *fill_timer(const uint64_t timer[4], struct arena *arena)
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

static int fill(const struct dump_task *t, CoreEntry *core, struct arena *arena)
{
	TaskTimersEntry *e = arena_get(arena, sizeof(*e));
	uint64_t real[4];

	if (!e)
		return -ENOMEM;
	task_timers_entry__init(e);
	memcpy(real, t->threads[0].itimers[0], sizeof(real));
	/*
	 * ITIMER_REAL is started anew when its signal is taken: with the signal still pending it shows no time. To
	 * set it so would stop it.
	 */
	if (!real[2] && !real[3]) {
		real[2] = real[0];
		real[3] = real[1];
	}
	e->real = fill_timer(real, arena);
	e->virt = fill_timer(t->threads[0].itimers[1], arena);
	e->prof = fill_timer(t->threads[0].itimers[2], arena);
	core->tc->timers = e;
	return e->real && e->virt && e->prof ? 0 : -ENOMEM;
}

const struct dump_part dump_part_timers = {
	.name = "timers",
	.queries = queries,
	.n_queries = 3,
	.judge = judge_timers,
	.fill = fill,
};
