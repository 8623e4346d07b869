/*
 * Nice value, scheduling policy and priority of each thread, asked from outside.
 * Does not handle: deadline scheduling (judged); CPU affinity, I/O priority (not kept, as with CRIU).
 */
#include <errno.h>
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

static int judge_sched(struct dump_task *t)
{
	int err = 0;

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
