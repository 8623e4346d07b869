/*
 * Registers: checked here, set by ptrace when all threads wait in the blob (restore/finish.c). Not handled:
 * 32-bit tasks, thread-local storage descriptors of the GDT.
 */
#include <errno.h>
#include <stdlib.h>

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
		plan_refuse(plan, "thread %d has a thread area in the GDT (set_thread_area): not supported yet", thread->tid);
		return;
	}
}

static int regs_read(struct plan *plan, struct plan_task *task)
{
	_cleanup_free_ void *xstate = malloc(XSTATE_MAX);

	if (!xstate)
		return -ENOMEM;
	for (size_t i = 0; i < task->n_threads; i++) {
		const struct plan_thread *thread = &task->threads[i];
		struct user_regs_struct regs;
		uint64_t lacking = 0;
		size_t len;

		if (!thread->core->thread_info)
			continue;
		check_general(plan, thread);
		check_tls(plan, thread);
		int err = regs_from_image(thread->core->thread_info, &regs, xstate, &len, &lacking);
		if (err == -ENOTSUP)
			plan_refuse(plan, "thread %d uses processor state that this CPU lacks (XCR0 bits 0x%llx): "
					  "restore on a CPU with these features",
				    thread->tid, (unsigned long long)lacking);
		else if (err)
			plan_refuse(plan, "core-%d.img: malformed extended registers", thread->tid);
	}
	return 0;
}

const struct restore_part restore_part_regs = { .name = "registers", .read = regs_read };
