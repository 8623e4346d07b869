/*
 * Scheduling of each thread: nice value, policy, real-time priority; CPU affinity, I/O priority and timer slack, which
 * are in fields of our own. What is as ckpt's own, which tasks inherit, is left alone.
 */
#include <errno.h>
#include <linux/ioprio.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "block.h"
#include "log.h"
#include "plan.h"

#define RESET_ON_FORK 0x40000000u
#ifndef SCHED_DEADLINE
#define SCHED_DEADLINE 6
#endif
#define DEADLINE_FLAGS 7ul /* SCHED_FLAG_RESET_ON_FORK, _RECLAIM, _DL_OVERRUN */

static bool is_realtime(uint32_t policy)
{
	return policy == SCHED_FIFO || policy == SCHED_RR;
}

static bool same_cpus(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a->len == b->len && a->len && !memcmp(a->data, b->data, a->len);
}

/* Only trying tells whether any of these CPUs is here, and may be used by us. */
static bool has_cpus(const ProtobufCBinaryData *cpus)
{
	struct own_cpus own;

	own_cpus_read(&own);
	if (syscall(SYS_sched_setaffinity, 0, cpus->len, cpus->data))
		return errno != EINVAL;
	syscall(SYS_sched_setaffinity, 0, own.len, own.mask);
	return true;
}

static void check_affinity(struct plan *plan, const struct plan_task *task, size_t i)
{
	ThreadCoreEntry *e = task->threads[i].core->thread_core;
	const ThreadCoreEntry *before = i ? task->threads[i - 1].core->thread_core : NULL;
	pid_t tid = task->threads[i].tid;

	if (!e->has_cpu_affinity || !e->cpu_affinity.len)
		return;
	if (e->cpu_affinity.len > MASK_BYTES || !e->cpu_affinity.data[e->cpu_affinity.len - 1]) {
		plan_refuse(plan, "core-%d.img: CPU affinity of %zu bytes is malformed", tid, e->cpu_affinity.len);
		return;
	}
	/* of many threads that have the same, only the first is tried and told */
	if (before && same_cpus(&e->cpu_affinity, &before->cpu_affinity)) {
		e->has_cpu_affinity = before->has_cpu_affinity;
	} else if (!has_cpus(&e->cpu_affinity)) {
		log_warn("thread %d was bound to CPUs of which none is here: it gets those of ckpt restore", tid);
		e->has_cpu_affinity = false;
	}
}

/* Whether the CPUs have the time is known when they are asked for it. */
static void check_deadline(struct plan *plan, pid_t tid, const ThreadCoreEntry *e)
{
	if (!e->has_sched_runtime || !e->has_sched_deadline || !e->has_sched_period || !e->sched_runtime ||
	    e->sched_runtime > e->sched_deadline || e->sched_deadline > e->sched_period ||
	    e->sched_period > INT64_MAX || e->sched_flags & ~DEADLINE_FLAGS)
		plan_refuse(plan, "core-%d.img: deadline scheduling out of range", tid);
}

static void check_policy(struct plan *plan, pid_t tid, const ThreadCoreEntry *e)
{
	uint32_t policy = e->has_sched_policy ? e->sched_policy & ~RESET_ON_FORK : SCHED_OTHER;

	if (policy == SCHED_DEADLINE)
		check_deadline(plan, tid, e);
	else if (policy != SCHED_OTHER && policy != SCHED_BATCH && policy != SCHED_IDLE && !is_realtime(policy))
		plan_refuse(plan, "core-%d.img: unknown scheduling policy %u", tid, policy);
	if (is_realtime(policy) && (!e->has_sched_prio || e->sched_prio < 1 || e->sched_prio > 99))
		plan_refuse(plan, "core-%d.img: real-time priority out of range", tid);
	if (e->has_sched_nice && (e->sched_nice < -20 || e->sched_nice > 19))
		plan_refuse(plan, "core-%d.img: nice value %d out of range", tid, e->sched_nice);
}

static void check_io_priority(struct plan *plan, pid_t tid, const ThreadCoreEntry *e)
{
	uint32_t class = e->io_priority >> IOPRIO_CLASS_SHIFT, level = e->io_priority & ((1 << IOPRIO_CLASS_SHIFT) - 1);

	if (e->has_io_priority && (class > IOPRIO_CLASS_IDLE || (class == IOPRIO_CLASS_NONE && level)))
		plan_refuse(plan, "core-%d.img: I/O priority 0x%x out of range", tid, e->io_priority);
}

static int sched_read(struct plan *plan, struct plan_task *task)
{
	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;

		if (!e)
			continue;
		check_policy(plan, task->threads[i].tid, e);
		check_io_priority(plan, task->threads[i].tid, e);
		check_affinity(plan, task, i);
	}
	return 0;
}

static uint8_t *copy_mask(struct block *block, const uint8_t *mask, size_t len)
{
	uint8_t *copy = block_alloc(block, len);

	if (copy)
		memcpy(copy, mask, len);
	return copy;
}

/* Neighbours that have the same mask share it in the block, and so do all that may run anywhere: *any is theirs. */
static int fill_affinity(const struct own_cpus *own, const ThreadCoreEntry *e, struct block *block,
			 struct restorer_thread *t, const struct restorer_thread *before, const uint8_t **any)
{
	static const uint8_t all[MASK_BYTES] = { [0 ... MASK_BYTES - 1] = 0xff };
	const ProtobufCBinaryData *cpus = &e->cpu_affinity, mine = { own->len, (uint8_t *)own->mask };

	if (!e->has_cpu_affinity || (cpus->len ? !own->any && same_cpus(cpus, &mine) : own->any))
		return 0;
	t->cpus_len = cpus->len ? cpus->len : MASK_BYTES;
	if (!cpus->len)
		t->cpus = *any = *any ? *any : copy_mask(block, all, MASK_BYTES);
	else if (before && before->cpus && before->cpus_len == cpus->len &&
		 !memcmp(before->cpus, cpus->data, cpus->len))
		t->cpus = before->cpus;
	else
		t->cpus = copy_mask(block, cpus->data, cpus->len);
	return t->cpus ? 0 : -ENOMEM;
}

static const struct restorer_deadline *copy_deadline(struct block *block, const ThreadCoreEntry *e)
{
	struct restorer_deadline *d = block_alloc(block, sizeof(*d));

	if (d)
		*d = (struct restorer_deadline){ .size = sizeof(*d),
						 .policy = SCHED_DEADLINE,
						 .flags = e->sched_flags,
						 .nice = e->sched_nice,
						 .runtime = e->sched_runtime,
						 .deadline = e->sched_deadline,
						 .period = e->sched_period };
	return d;
}

static int sched_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	const struct inherited *in = &plan->inherited;
	const uint8_t *any = NULL;
	int err = 0;

	for (size_t i = 0; !err && i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;
		struct restorer_thread *t = &block->args->threads[i];

		if (e->has_sched_policy && (int)e->sched_policy != in->policy) {
			t->set_sched = 1;
			t->sched_policy = e->sched_policy;
			t->sched_prio = is_realtime(e->sched_policy & ~RESET_ON_FORK) ? e->sched_prio : 0;
		}
		if (t->set_sched && (e->sched_policy & ~RESET_ON_FORK) == SCHED_DEADLINE) {
			t->deadline = copy_deadline(block, e);
			err = t->deadline ? 0 : -ENOMEM;
		}
		if (e->has_sched_nice && e->sched_nice != in->nice) {
			t->set_nice = 1;
			t->nice = e->sched_nice;
		}
		t->set_io_priority = e->has_io_priority && e->io_priority != in->io_priority;
		t->io_priority = e->io_priority;
		t->timer_slack = e->has_timer_slack && e->timer_slack != in->timer_slack ? e->timer_slack : 0;
		if (!err)
			err = fill_affinity(&in->cpus, e, block, t, i ? t - 1 : NULL, &any);
	}
	return err;
}

const struct restore_part restore_part_sched = { .name = "scheduling", .read = sched_read, .fill = sched_fill };
