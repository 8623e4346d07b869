/* Scheduling: nice value, policy, real-time priority of each thread. Not handled: SCHED_DEADLINE. */
#include <sched.h>
#include <sys/resource.h>

#include "block.h"
#include "plan.h"

#define RESET_ON_FORK 0x40000000u

static bool is_realtime(uint32_t policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static int sched_read(struct plan *plan, struct plan_task *task)
{
	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;
		uint32_t policy = e && e->has_sched_policy ? e->sched_policy & ~RESET_ON_FORK : SCHED_OTHER;
		pid_t tid = task->threads[i].tid;

		if (!e)
			continue;
		if (policy == 6)
			plan_refuse(plan, "thread %d has the policy SCHED_DEADLINE: not supported yet", tid);
		else if (policy != SCHED_OTHER && policy != SCHED_BATCH && policy != SCHED_IDLE && !is_realtime(policy))
			plan_refuse(plan, "core-%d.img: unknown scheduling policy %u", tid, policy);
		if (is_realtime(policy) && (!e->has_sched_prio || e->sched_prio < 1 || e->sched_prio > 99))
			plan_refuse(plan, "core-%d.img: real-time priority out of range", tid);
		if (e->has_sched_nice && (e->sched_nice < -20 || e->sched_nice > 19))
			plan_refuse(plan, "core-%d.img: nice value %d out of range", tid, e->sched_nice);
	}
	return 0;
}

static int sched_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;
		struct restorer_thread *t = &block->args->threads[i];

		if (e->has_sched_policy && (int)e->sched_policy != plan->inherited.policy) {
			t->set_sched = 1;
			t->sched_policy = e->sched_policy;
			t->sched_prio = is_realtime(e->sched_policy & ~RESET_ON_FORK) ? e->sched_prio : 0;
		}
		if (e->has_sched_nice && e->sched_nice != plan->inherited.nice) {
			t->set_nice = 1;
			t->nice = e->sched_nice;
		}
	}
	return 0;
}

const struct restore_part restore_part_sched = { .name = "scheduling", .read = sched_read, .fill = sched_fill };
