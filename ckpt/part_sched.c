/*
 * Nice value, scheduling policy and priority of each thread, asked from outside.
 * Does not handle: deadline scheduling (judged); CPU affinity and I/O priority (a warning: they are not kept).
 */
#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dump.h"
#include "log.h"

#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif

/* struct sched_attr of sched_setattr(2), its first version. */
struct sched_attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

#ifndef SCHED_FLAG_RESET_ON_FORK
#define SCHED_FLAG_RESET_ON_FORK 1
#endif

static int collect_thread(struct dump_task *t, struct dump_thread *th)
{
	struct sched_attributes attr = {};

	if (syscall(SYS_sched_getattr, th->tid, &attr, sizeof(attr), 0))
		return log_errno(errno, "can't read the scheduling of thread %d", th->tid);
	th->policy = attr.policy | (attr.flags & SCHED_FLAG_RESET_ON_FORK ? SCHED_RESET_ON_FORK : 0);
	/* for real-time policies the call leaves the nice value out */
	th->nice = attr.policy == SCHED_FIFO || attr.policy == SCHED_RR ? getpriority(PRIO_PROCESS, th->tid)
									: attr.nice;
	th->priority = attr.priority;
	return 0;
}

/* What an image has no place for is not kept, as with CRIU; but it is said. */
static void warn_of_losses(const struct dump_task *t, const struct dump_thread *th)
{
	cpu_set_t its, ours;

	CPU_ZERO(&its);
	CPU_ZERO(&ours);
	if (!sched_getaffinity(th->tid, sizeof(its), &its) && !sched_getaffinity(0, sizeof(ours), &ours) &&
	    !CPU_EQUAL(&its, &ours))
		log_warn(
			"task %d, thread %d: its CPU affinity is not kept: after a restore it has that of ckpt restore",
			t->pid, th->tid);
	if (syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, th->tid) != syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0))
		log_warn(
			"task %d, thread %d: its I/O priority is not kept: after a restore it has that of ckpt restore",
			t->pid, th->tid);
}

static int judge_sched(struct dump_task *t)
{
	int err = 0;

	for (size_t i = 0; i < t->n_threads; i++)
		warn_of_losses(t, &t->threads[i]);

	for (size_t i = 0; i < t->n_threads && !err; i++)
		if ((t->threads[i].policy & ~SCHED_RESET_ON_FORK) == SCHED_DEADLINE)
			err = blocker_add(t->dump, t->pid, "scheduling",
					  "the policy SCHED_DEADLINE is not supported yet",
					  "give it another policy with chrt", "thread %d", t->threads[i].tid);
	return err;
}

static int fill_thread(const struct dump_task *t, const struct dump_thread *th, CoreEntry *core, struct arena *arena)
{
	ThreadCoreEntry *e = core->thread_core;

	e->has_sched_nice = true;
	e->sched_nice = th->nice;
	e->has_sched_policy = true;
	e->sched_policy = th->policy;
	e->has_sched_prio = th->priority != 0;
	e->sched_prio = th->priority;
	return 0;
}

const struct dump_part dump_part_sched = {
	.name = "sched",
	.collect_thread = collect_thread,
	.judge = judge_sched,
	.fill_thread = fill_thread,
};
