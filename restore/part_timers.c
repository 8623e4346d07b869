/* Interval timers (setitimer): they go on with the time that was left. Not handled: POSIX timers. */
#include <string.h>

#include "block.h"
#include "plan.h"

static void check_timer(struct plan *plan, pid_t pid, const ItimerEntry *e)
{
	if (e->iusec >= 1000000 || e->vusec >= 1000000 || e->isec >> 62 || e->vsec >> 62)
		plan_refuse(plan, "core-%d.img: interval timer out of range", pid);
}

static int timers_read(struct plan *plan, struct plan_task *task)
{
	const TaskTimersEntry *timers = task->core->timers;

	if (!timers)
		return 0;
	check_timer(plan, task->pid, timers->real);
	check_timer(plan, task->pid, timers->virt);
	check_timer(plan, task->pid, timers->prof);
	if (timers->n_posix)
		plan_refuse(plan, "task %d has %zu POSIX timers (timer_create): not supported yet; restore with CRIU",
			    task->pid, timers->n_posix);
	return 0;
}

static void fill_timer(struct restorer_timer *t, const ItimerEntry *e)
{
	*t = (struct restorer_timer){ e->isec, e->iusec, e->vsec, e->vusec };
}

static int timers_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	const TaskTimersEntry *timers = task->core->timers;
	struct restorer_args *args = block->args;

	if (!timers)
		return 0;
	/* In the order of ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF. */
	fill_timer(&args->timers[0], timers->real);
	fill_timer(&args->timers[1], timers->virt);
	fill_timer(&args->timers[2], timers->prof);
	/* They all begin at zero. */
	static const struct restorer_timer zero[3];
	args->set_timers = memcmp(args->timers, zero, sizeof(zero)) != 0;
	return 0;
}

const struct restore_part restore_part_timers = { .name = "timers", .read = timers_read, .fill = timers_fill };
