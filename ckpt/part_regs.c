/*
 * Registers of each thread, general and extended: ptrace(2) PTRACE_GETREGSET, done when the thread stopped.
 * Does not handle (judged): tasks that run 32-bit and 64-bit code at the same time, AMX tiles, shadow stacks.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>
#include <sys/ptrace.h>

#include "compat.h"
#include "dump.h"
#include "log.h"
#include "regs.h"
#include "xstate.h"

/* What the first signal that the thread does not block does to a system call that it interrupts. */
static enum pending_signal pending_signal(const struct dump_task *t, const struct dump_thread *th)
{
	const struct signal_queue *queues[] = { &th->pending, &t->shared_pending };

	for (int q = 0; q < 2; q++) {
		for (size_t i = 0; i < queues[q]->n; i++) {
			int sig = queues[q]->info[i].si_signo;

			if (sig < 1 || sig > PARASITE_SIGNALS || (th->remote.mask & (1ull << (sig - 1))))
				continue;
			const struct parasite_sigaction *a = &t->inside.actions[sig - 1];
			if (a->handler > 1) /* neither SIG_DFL nor SIG_IGN */
				return a->flags & SA_RESTART ? SIGNAL_RESTARTS : SIGNAL_INTERRUPTS;
		}
	}
	return SIGNAL_NONE;
}

/*
 * The stop captured all but the TLS descriptors of set_thread_area(2), which 64-bit programs do not use. A
 * thread inherits them when it is made: where the main thread has none and no segment register refers to one,
 * the others are not asked.
 */
static int collect_thread(struct dump_task *t, struct dump_thread *th)
{
	const struct user_regs_struct *r = &th->remote.regs;
	const struct dump_thread *main_thread = &t->threads[0];
	bool ask = th == main_thread || r->fs || r->gs || r->ds || r->es;

	for (int i = 0; i < TLS_ENTRIES; i++)
		ask |= !main_thread->tls[i].seg_not_present;
	for (int i = 0; i < TLS_ENTRIES; i++) {
		th->tls[i] = main_thread->tls[i];
		if (ask && ptrace(PTRACE_GET_THREAD_AREA, th->tid, TLS_FIRST + i, &th->tls[i]))
			return log_errno(errno, "can't read TLS descriptor %d of thread %d", i, th->tid);
	}
	return 0;
}

/* Of which kind the program is: that of its vDSO. A program without one is what its main thread is. */
static bool is_compat(const struct dump_task *t)
{
	uint8_t head[EI_NIDENT];

	for (size_t i = t->vmas.n; i-- > 0;) /* it is among the last */
		if (!strcmp(t->vmas.v[i].name, "[vdso]"))
			return !tracee_read(t->pid, t->vmas.v[i].start, head, sizeof(head)) &&
			       !memcmp(head, ELFMAG, SELFMAG) && head[EI_CLASS] == ELFCLASS32;
	return regs_compat(&t->threads[0].remote.regs);
}

/* 32-bit code in a 64-bit program, and the other way round: what its other threads and signals need is not known. */
static int judge_mode(struct dump_task *t, const struct remote *r, bool compat)
{
	bool high = false;

	for (size_t i = t->vmas.n; i-- > 0 && t->vmas.v[i].end > 1ul << 32 && !high;)
		high = strcmp(t->vmas.v[i].name, "[vsyscall]"); /* the kernel's own */

	if (r->regs.cs == (compat ? CS_COMPAT : CS_NATIVE) && r->regs.ss == SS_USER && !(compat && high))
		return 0;
	t->untouchable = true;
	return blocker_add(t->dump, t->pid, "mixed code",
			   compat ? "it is a 32-bit program with 64-bit code or memory, which is not supported"
				  : "it is a 64-bit program with 32-bit code, which is not supported",
			   "try again when it runs code of its own kind only", "thread %d, code segment %#llx", r->tid,
			   r->regs.cs);
}

static int judge_regs(struct dump_task *t)
{
	bool compat = is_compat(t);
	int err = 0;

	for (size_t i = 0; i < t->n_threads && !err; i++) {
		const struct remote *r = &t->threads[i].remote;
		uint64_t used = 0;

		err = judge_mode(t, r, compat);
		if (t->threads[i].status.shadow_stack) {
			t->untouchable = true; /* returns to where no call came from would kill it */
			err = err ? err
				  : blocker_add(t->dump, t->pid, "shadow stack",
						"user shadow stacks are not supported yet",
						"start the program without them (GLIBC_TUNABLES)", "thread %d", r->tid);
		}
		if (r->xstate_len > XSTATE_HEADER)
			memcpy(&used, r->xstate + XSTATE_HEADER, sizeof(used));
		if (!err && (used & XSTATE_BIT(XSTATE_TILEDATA)))
			err = blocker_add(t->dump, t->pid, "AMX registers",
					  "the image format has no place for AMX tiles",
					  "dump it when it has released its tiles (tilerelease)", "thread %d", r->tid);
	}
	return err;
}

static int fill_thread(const struct dump_task *t, const struct dump_thread *th, CoreEntry *core, struct arena *arena)
{
	struct regs_image *img = arena_get(arena, sizeof(*img));
	struct user_regs_struct regs = th->remote.regs;

	if (!img)
		return -ENOMEM;
	regs.orig_rax = th->remote.call_nr;
	regs_restart_call(&regs, pending_signal(t, th));
	int err = regs_to_image(img, &regs, th->remote.xstate, th->remote.xstate_len, th->tls, th->clear_child_tid);
	core->thread_info = &img->info;
	return err;
}

const struct dump_part dump_part_regs = {
	.name = "regs",
	.collect_thread = collect_thread,
	.judge = judge_regs,
	.fill_thread = fill_thread,
};
