/*
 * Signals: actions, alternate stacks, pending queues; masks are set by ptrace (restore/finish.c). Signals
 * come back with all that was known about their sender, which a thread may claim for signals to itself only.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "block.h"
#include "log.h"
#include "plan.h"

/* CRIU leaves out SIGKILL and SIGSTOP, which cannot have one. */
#define ACTIONS (SIGNALS - 2)
#define ALTSTACK_FLAGS (SS_DISABLE | 1u << 31 /* SS_AUTODISARM */)

static int signal_of(const SiginfoEntry *e)
{
	int sig = 0;

	if (e->siginfo.len == sizeof(struct restorer_siginfo))
		memcpy(&sig, e->siginfo.data, sizeof(sig));
	return sig;
}

/* A SIGSTOP that waits cannot be queued by the task for itself: the task ends stopped. */
static void check_queue(struct plan *plan, struct plan_task *task, pid_t tid, const SignalQueueEntry *queue)
{
	for (size_t i = 0; queue && i < queue->n_signals; i++) {
		int sig = signal_of(queue->signals[i]);

		if (sig < 1 || sig > SIGNALS || sig == SIGKILL)
			plan_refuse(plan, "core-%d.img: pending signal %d with %zu bytes of information is malformed",
				    tid, sig, queue->signals[i]->siginfo.len);
		else if (sig == SIGSTOP && !task->stop_signal)
			task->stop_signal = SIGSTOP;
	}
}

static int stop_signal(const struct plan_task *task)
{
	int sig = task->core->has_stop_signo ? (int)task->core->stop_signo : 0;

	if (task->state != TASK_STOPPED)
		return 0;
	return sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU ? sig : SIGSTOP;
}

static bool is_compat(const SaEntry *e)
{
	return e->has_compat_sigaction && e->compat_sigaction;
}

static int signals_read(struct plan *plan, struct plan_task *task)
{
	const TaskCoreEntry *tc = task->core;

	if (tc->n_sigactions != ACTIONS) {
		plan_refuse(plan, "core-%d.img: %zu signal actions instead of %d", task->pid, tc->n_sigactions,
			    ACTIONS);
		return 0;
	}
	for (size_t i = 0; i < ACTIONS; i++)
		if (is_compat(tc->sigactions[i]) != task->compat && tc->sigactions[i]->sigaction > 1)
			plan_refuse(plan, "core-%d.img: a %s-bit signal handler in a %s-bit program", task->pid,
				    task->compat ? "64" : "32", task->compat ? "32" : "64");
	task->stop_signal = stop_signal(task);
	check_queue(plan, task, task->pid, tc->signals_s);
	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadCoreEntry *thread = task->threads[i].core->thread_core;

		if (!thread)
			continue;
		check_queue(plan, task, task->threads[i].tid, thread->signals_p);
		if (thread->sas && thread->sas->ss_flags & ~(ALTSTACK_FLAGS | SS_ONSTACK))
			plan_refuse(plan, "core-%d.img: alternate stack with unknown flags 0x%x", task->threads[i].tid,
				    thread->sas->ss_flags);
	}
	return 0;
}

static int fill_queue(struct block *block, const SignalQueueEntry *queue, uint64_t *n,
		      const struct restorer_siginfo **list)
{
	if (!queue || !queue->n_signals)
		return 0;
	struct restorer_siginfo *to = block_alloc(block, queue->n_signals * sizeof(*to));
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < queue->n_signals; i++)
		if (signal_of(queue->signals[i]) != SIGSTOP)
			memcpy(to[(*n)++].bytes, queue->signals[i]->siginfo.data, sizeof(to->bytes));
	*list = to;
	return 0;
}

/* The kernel remembers whether a 64-bit or a 32-bit system call has set an action: handlers get such a frame. */
static int fill_compat_actions(struct plan_task *task, struct block *block)
{
	struct restorer_compat_action *compat = block_alloc(block, SIGNALS * sizeof(*compat));

	if (!compat)
		return -ENOMEM;
	for (int i = 0; i < SIGNALS; i++) {
		const struct restorer_action *a = &block->args->actions[i];

		compat[i] =
			(struct restorer_compat_action){ a->handler, a->flags, a->restorer, a->mask, a->mask >> 32 };
	}
	block->args->compat_actions = compat;
	return 0;
}

static int fill_actions(const struct plan *plan, struct plan_task *task, struct block *block)
{
	struct restorer_action *actions = block_alloc(block, SIGNALS * sizeof(*actions));
	size_t at = 0;

	if (!actions)
		return -ENOMEM;
	for (int sig = 1; sig <= SIGNALS; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		const SaEntry *e = task->core->sigactions[at++];
		actions[sig - 1] = (struct restorer_action){ e->sigaction, e->flags, e->restorer, e->mask };
		if (memcmp(&actions[sig - 1], &plan->inherited.actions[sig - 1], sizeof(*actions)))
			block->args->actions_set |= 1ul << (sig - 1);
	}
	block->args->actions = actions;
	return task->compat ? fill_compat_actions(task, block) : 0;
}

static int signals_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	struct restorer_args *args = block->args;
	int err = fill_actions(plan, task, block);

	if (err)
		return err;
	/* It learned long ago that its children stopped. */
	for (const struct plan_task *child = task->children; child; child = child->next)
		args->mute_sigchld |= child->state == TASK_STOPPED;
	plan->shared->slots[task->index].sigchld = task->compat ? (uint64_t)&args->compat_actions[SIGCHLD - 1]
								: (uint64_t)&args->actions[SIGCHLD - 1];
	err = fill_queue(block, task->core->signals_s, &args->n_pending, &args->pending);
	for (size_t i = 0; !err && i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;
		struct restorer_thread *t = &args->threads[i];

		t->altstack_flags = SS_DISABLE;
		if (e->sas) {
			t->altstack_sp = e->sas->ss_sp;
			t->altstack_size = e->sas->ss_size;
			/* That it stands on it follows from its stack pointer. */
			t->altstack_flags = e->sas->ss_flags & ALTSTACK_FLAGS;
		}
		err = fill_queue(block, e->signals_p, &t->n_pending, &t->pending);
	}
	return err;
}

const struct restore_part restore_part_signals = {
	.name = "signals",
	.read = signals_read,
	.fill = signals_fill,
};
