/*
 * Registers: checked here, set by ptrace when all threads wait in the blob (restore/finish.c). Not handled:
 * 32-bit tasks, thread-local storage descriptors of the GDT.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "log.h"
#include "plan.h"
#include "regs.h"
#include "xstate.h"

#define USER_CS 0x33
#define USER_SS 0x2b

static void check_general(struct plan *plan, const struct plan_thread *thread)
{
	const UserX86RegsEntry *g = thread->core->thread_info->gpregs;

	if (g->cs != USER_CS || (g->has_mode && g->mode != USER_X86_REGS_MODE__NATIVE))
		plan_refuse(plan, "thread %d runs 32-bit code: not supported yet; restore with CRIU", thread->tid);
	else if (g->ss != USER_SS || g->fs_base >> 47 || g->gs_base >> 47)
		plan_refuse(plan, "core-%d.img: segment registers out of range", thread->tid);
}

static void check_tls(struct plan *plan, const struct plan_thread *thread)
{
	const ThreadInfoX86 *info = thread->core->thread_info;

	for (size_t i = 0; i < info->n_tls; i++) {
		if (!info->tls[i]->usable && !info->tls[i]->base_addr && !info->tls[i]->limit)
			continue;
		plan_refuse(plan, "thread %d has a thread area in the GDT (set_thread_area): not supported yet",
			    thread->tid);
		return;
	}
}

/* Room for the registers of all threads, in memory that is not copied to the tasks. */
static int make_room(struct plan *plan, size_t one)
{
	plan->regs_size = plan->n_tids * one;
	plan->regs =
		mmap(NULL, plan->regs_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (plan->regs == MAP_FAILED) {
		plan->regs = NULL;
		return log_errno(errno, "can't map %zu bytes for registers", plan->regs_size);
	}
	return madvise(plan->regs, plan->regs_size, MADV_DONTFORK) ? log_errno(errno, "madvise") : 0;
}

/* Keeps the registers in the form that ptrace wants; the image's takes more than half of the plan. */
static int keep_regs(struct plan *plan, struct plan_thread *thread, const struct user_regs_struct *general,
		     const void *xstate, size_t len)
{
	size_t one = (sizeof(*thread->regs) + xstate_size(xstate_layout()->features) + 63) & ~63ul;
	int err = plan->regs ? 0 : make_room(plan, one);

	if (err)
		return err;
	if (sizeof(*thread->regs) + len > one || plan->regs_used + one > plan->regs_size)
		return log_errno(E2BIG, "%zu bytes of extended registers of thread %d", len, thread->tid);
	thread->regs = (struct plan_regs *)(plan->regs + plan->regs_used);
	plan->regs_used += one;
	thread->regs->general = *general;
	thread->regs->xstate_len = len;
	memcpy(thread->regs->xstate, xstate, len);
	thread->clear_child_tid = thread->core->thread_info->clear_tid_addr;
	thread_info_x86__free_unpacked(thread->core->thread_info, NULL);
	thread->core->thread_info = NULL;
	return 0;
}

static int read_thread(struct plan *plan, struct plan_thread *thread, void *xstate)
{
	struct user_regs_struct regs;
	uint64_t lacking = 0;
	size_t len;

	check_general(plan, thread);
	check_tls(plan, thread);
	int err = regs_from_image(thread->core->thread_info, &regs, xstate, &len, &lacking);
	if (!err)
		return keep_regs(plan, thread, &regs, xstate, len);
	if (err == -ENOTSUP)
		plan_refuse(plan,
			    "thread %d uses processor state that this CPU lacks (XCR0 bits 0x%llx): "
			    "restore on a CPU with these features",
			    thread->tid, (unsigned long long)lacking);
	else
		plan_refuse(plan, "core-%d.img: malformed extended registers", thread->tid);
	return 0;
}

static int regs_read(struct plan *plan, struct plan_task *task)
{
	_cleanup_free_ void *xstate = malloc(XSTATE_MAX);
	int err = xstate ? 0 : -ENOMEM;

	for (size_t i = 0; !err && i < task->n_threads; i++)
		if (task->threads[i].core->thread_info)
			err = read_thread(plan, &task->threads[i], xstate);
	return err;
}

const struct restore_part restore_part_regs = { .name = "registers", .read = regs_read };
