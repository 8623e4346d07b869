/*
 * Signals: actions (asked inside), masks (ptrace), alternate stacks (asked inside each thread), the queues of
 * pending signals (PTRACE_PEEKSIGINFO). Where BPF iterators tell, nobody is asked inside.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "compat.h"
#include "dump.h"
#include "log.h"

#define SIGINFO_SIZE 128 /* bytes of the kernel's siginfo_t */
#define PEEK 32 /* signals read at once */

static int peek_queue(pid_t tid, bool shared, struct signal_queue *q)
{
	struct __ptrace_peeksiginfo_args args = { .flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0, .nr = PEEK };

	for (;;) {
		siginfo_t *bigger = realloc(q->info, (q->n + PEEK) * sizeof(*bigger));

		if (!bigger)
			return log_errno(ENOMEM, "signals of thread %d", tid);
		q->info = bigger;
		args.off = q->n;
		long n = ptrace(PTRACE_PEEKSIGINFO, tid, &args, q->info + q->n);
		if (n < 0)
			return log_errno(errno, "can't read the pending signals of thread %d", tid);
		if (n == 0)
			return 0;
		q->n += n;
	}
}

static int collect(struct dump_task *t)
{
	return t->threads[0].status.shared_pending ? peek_queue(t->threads[0].tid, true, &t->shared_pending) : 0;
}

static int collect_thread(struct dump_task *t, struct dump_thread *th)
{
	return th->status.pending ? peek_queue(th->tid, false, &th->pending) : 0;
}

long signals_look_again(struct dump_task *t, struct dump_thread *th)
{
	size_t before = t->shared_pending.n + th->pending.n;
	int err = peek_queue(th->tid, true, &t->shared_pending);

	if (!err)
		err = peek_queue(th->tid, false, &th->pending);
	return err ? err : (long)(t->shared_pending.n + th->pending.n - before);
}

static const struct dump_query query = {
	.what = "alternate signal stack",
	.nr = SYS_sigaltstack,
	.arg = 0,
	.answer = offsetof(struct dump_thread, altstack),
	.size = sizeof(((struct dump_thread *)0)->altstack),
};

/* What a 32-bit thread answered is its own stack_t. */
static int collect_inside(struct dump_task *t)
{
	for (size_t i = 0; i < t->n_threads; i++) {
		struct dump_thread *th = &t->threads[i];
		struct {
			uint32_t sp;
			int32_t flags;
			uint32_t size;
		} own;

		if (!regs_compat(&th->remote.regs) || th->told)
			continue;
		memcpy(&own, &th->altstack, sizeof(own));
		th->altstack =
			(stack_t){ .ss_sp = (void *)(uint64_t)own.sp, .ss_flags = own.flags, .ss_size = own.size };
	}
	return 0;
}

static int fill_queue(const struct signal_queue *q, SignalQueueEntry **entry, struct arena *arena)
{
	SignalQueueEntry *e = arena_get(arena, sizeof(*e));
	SiginfoEntry *si = arena_get(arena, q->n * sizeof(*si) + 1);
	SiginfoEntry **list = arena_get(arena, q->n * sizeof(*list) + 1);

	if (!e || !si || !list)
		return -ENOMEM;
	signal_queue_entry__init(e);
	for (size_t i = 0; i < q->n; i++) {
		siginfo_entry__init(&si[i]);
		si[i].siginfo = (ProtobufCBinaryData){ SIGINFO_SIZE, (uint8_t *)&q->info[i] };
		list[i] = &si[i];
	}
	e->n_signals = q->n;
	e->signals = list;
	*entry = e;
	return 0;
}

/* Actions of all signals but SIGKILL and SIGSTOP, which cannot have any, in the order of their numbers. */
static int fill_actions(const struct dump_task *t, TaskCoreEntry *tc, struct arena *arena)
{
	SaEntry *sa = arena_get(arena, PARASITE_SIGNALS * sizeof(*sa));

	tc->sigactions = arena_get(arena, PARASITE_SIGNALS * sizeof(*tc->sigactions));
	if (!sa || !tc->sigactions)
		return -ENOMEM;
	for (int sig = 1; sig <= PARASITE_SIGNALS; sig++) {
		const struct parasite_sigaction *a = &t->inside.actions[sig - 1];

		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		sa_entry__init(sa);
		sa->sigaction = a->handler;
		sa->flags = a->flags;
		sa->restorer = a->restorer;
		sa->mask = a->mask;
		sa->has_compat_sigaction = true;
		sa->compat_sigaction = regs_compat(&t->threads[0].remote.regs);
		tc->sigactions[tc->n_sigactions++] = sa++;
	}
	return 0;
}

static int fill(const struct dump_task *t, CoreEntry *core, struct arena *arena)
{
	core->tc->blk_sigset = t->threads[0].remote.mask;
	int err = fill_queue(&t->shared_pending, &core->tc->signals_s, arena);
	return err ? err : fill_actions(t, core->tc, arena);
}

static int fill_thread(const struct dump_task *t, const struct dump_thread *th, CoreEntry *core, struct arena *arena)
{
	ThreadSasEntry *sas = arena_get(arena, sizeof(*sas));

	if (!sas)
		return -ENOMEM;
	thread_sas_entry__init(sas);
	sas->ss_sp = (uint64_t)th->altstack.ss_sp;
	sas->ss_size = th->altstack.ss_size;
	sas->ss_flags = th->altstack.ss_flags & ~SS_ONSTACK; /* that depends on where it ran when it was asked */
	core->thread_core->sas = sas;
	core->thread_core->has_blk_sigset = true;
	core->thread_core->blk_sigset = th->remote.mask;
	return fill_queue(&th->pending, &core->thread_core->signals_p, arena);
}

const struct dump_part dump_part_signals = {
	.name = "signals",
	.collect = collect,
	.collect_thread = collect_thread,
	.queries = &query,
	.n_queries = 1,
	.collect_inside = collect_inside,
	.fill = fill,
	.fill_thread = fill_thread,
};
