/*
 * Registers and thread-local storage descriptors of the GDT: checked here, set by ptrace when all threads wait in the
 * blob (restore/finish.c).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "compat.h"
#include "log.h"
#include "plan.h"
#include "regs.h"
#include "xstate.h"

/* Of a data segment: none, that of all user memory, or one of the thread's own descriptors. */
static bool is_selector(uint64_t selector)
{
	return !selector || selector == SS_USER ||
	       ((selector & 7) == 3 && selector >> 3 >= TLS_FIRST && selector >> 3 < TLS_FIRST + TLS_ENTRIES);
}

static void check_general(struct plan *plan, const struct plan_task *task, const struct plan_thread *thread)
{
	const UserX86RegsEntry *g = thread->core->thread_info->gpregs;
	bool compat = g->has_mode && g->mode == USER_X86_REGS_MODE__COMPAT;

	if (compat != task->compat || g->cs != (compat ? CS_COMPAT : CS_NATIVE))
		plan_refuse(plan, "thread %d of task %d runs both 32-bit and 64-bit code: not supported", thread->tid,
			    task->pid);
	else if (g->ss != SS_USER || g->fs_base >> 47 || g->gs_base >> 47 || !is_selector(g->ds) ||
		 !is_selector(g->es) || !is_selector(g->fs) || !is_selector(g->gs))
		plan_refuse(plan, "core-%d.img: segment registers out of range", thread->tid);
}

/* Takes the descriptors over; the kernel refuses those of code and of the system. */
static void read_tls(struct plan *plan, const struct plan_thread *thread, struct user_desc tls[TLS_ENTRIES])
{
	const ThreadInfoX86 *info = thread->core->thread_info;

	for (unsigned int i = 0; i < TLS_ENTRIES; i++)
		tls[i] = (struct user_desc){ .entry_number = TLS_FIRST + i, .read_exec_only = 1, .seg_not_present = 1 };
	for (size_t i = 0; i < info->n_tls; i++) {
		const UserDescT *d = info->tls[i];
		uint32_t at = d->entry_number - TLS_FIRST;

		if (!d->usable && !d->base_addr && !d->limit)
			continue;
		if (at >= TLS_ENTRIES || (d->contents_h && d->usable)) {
			plan_refuse(plan, "core-%d.img: thread area %u (set_thread_area) is malformed", thread->tid,
				    d->entry_number);
			continue;
		}
		tls[at].base_addr = d->base_addr;
		tls[at].limit = d->limit;
		tls[at].seg_32bit = d->seg_32bit;
		tls[at].contents = d->contents_l;
		tls[at].read_exec_only = d->read_exec_only;
		tls[at].limit_in_pages = d->limit_in_pages;
		tls[at].seg_not_present = d->seg_not_present;
		tls[at].useable = d->usable;
	}
}

/* The image of a 32-bit thread leaves out what follows from a selector. */
static uint64_t base_of(const struct user_desc tls[TLS_ENTRIES], uint64_t selector)
{
	uint64_t at = (selector >> 3) - TLS_FIRST;

	return at < TLS_ENTRIES ? tls[at].base_addr : 0;
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
		     const struct user_desc tls[TLS_ENTRIES], const void *xstate, size_t len)
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
	memcpy(thread->regs->tls, tls, sizeof(thread->regs->tls));
	thread->regs->xstate_len = len;
	memcpy(thread->regs->xstate, xstate, len);
	thread->clear_child_tid = thread->core->thread_info->clear_tid_addr;
	thread_info_x86__free_unpacked(thread->core->thread_info, NULL);
	thread->core->thread_info = NULL;
	return 0;
}

static int read_thread(struct plan *plan, const struct plan_task *task, struct plan_thread *thread, void *xstate)
{
	struct user_regs_struct regs;
	struct user_desc tls[TLS_ENTRIES];
	uint64_t lacking = 0;
	size_t len;

	check_general(plan, task, thread);
	read_tls(plan, thread, tls);
	int err = regs_from_image(thread->core->thread_info, &regs, xstate, &len, &lacking);
	if (task->compat) {
		regs.fs_base = base_of(tls, regs.fs);
		regs.gs_base = base_of(tls, regs.gs);
	}
	if (!err)
		return keep_regs(plan, thread, &regs, tls, xstate, len);
	if (err == -ENOTSUP)
		plan_refuse_here(plan,
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
			err = read_thread(plan, task, &task->threads[i], xstate);
	return err;
}

const struct restore_part restore_part_regs = { .name = "registers", .read = regs_read };
