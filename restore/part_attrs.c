/*
 * What is left: names of threads, personality, parent-death signal, OOM adjustment, login uid, dumpable,
 * child subreaper, transparent huge pages, membarrier registrations, core dump filter, I/O flusher,
 * memory-deny-write-execute.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block.h"
#include "cleanup.h"
#include "log.h"
#include "opts.h"
#include "plan.h"
#include "privileges.h"
#include "task.h"

/* MEMBARRIER_CMD_REGISTER_*: global, private, private with core sync, private with rseq. */
#define MEMBARRIER_REGISTER (1u << 2 | 1u << 4 | 1u << 6 | 1u << 8)

#define MDWE_REFUSE_EXEC_GAIN 1u
#define MDWE_BITS 3u /* and PR_MDWE_NO_INHERIT (6.6) */
#define THP_BITS 3u /* disabled, except where it was advised (6.18) */
#define COREDUMP_BITS 0xffffu /* more than there are */

static long read_proc_number(const char *path)
{
	char text[32] = "";
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? atol(text) : 0;
}

static int write_proc_number(const char *path, long number)
{
	char text[32];
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
	int n = snprintf(text, sizeof(text), "%ld", number);

	return fd >= 0 && write(fd, text, n) == n ? 0 : -errno;
}

/* Whether we may have the adjustment, and so may our children: only trying tells. */
static void check_oom(struct plan *plan, const struct plan_task *task)
{
	static const char path[] = "/proc/self/oom_score_adj";
	long mine = read_proc_number(path);

	if (task->core->oom_score_adj < -1000 || task->core->oom_score_adj > 1000) {
		plan_refuse(plan, "core-%d.img: OOM adjustment %d out of range", task->pid, task->core->oom_score_adj);
		return;
	}
	if (task->core->oom_score_adj >= mine)
		return;
	int err = write_proc_number(path, task->core->oom_score_adj);
	if (err)
		plan_refuse_here(plan,
				 "task %d had the OOM adjustment %d, lower than ours (%ld): %s; run ckpt restore with "
				 "CAP_SYS_RESOURCE",
				 task->pid, task->core->oom_score_adj, mine, strerror(-err));
	else
		write_proc_number(path, mine);
}

/* A root that is restored detached: the signal would hit it as soon as we are done. */
static bool loses_parent(const struct plan *plan, const struct plan_task *task)
{
	return !task->parent && plan->opts->restore_detached && !plan->opts->restore_sibling;
}

/* What CRIU's images never have. */
static int check_own(struct plan *plan, const struct plan_task *task)
{
	const TaskCoreEntry *tc = task->core;

	if (tc->has_coredump_filter && tc->coredump_filter > COREDUMP_BITS)
		plan_refuse(plan, "core-%d.img: core dump filter 0x%x out of range", task->pid, tc->coredump_filter);
	if (tc->has_mdwe && (tc->mdwe & ~MDWE_BITS || !(tc->mdwe & MDWE_REFUSE_EXEC_GAIN)))
		plan_refuse(plan, "core-%d.img: unknown memory-deny-write-execute bits 0x%x", task->pid, tc->mdwe);
	if (tc->has_thp_disable && (tc->thp_disable & ~THP_BITS || !(tc->thp_disable & 1)))
		plan_refuse(plan, "core-%d.img: unknown setting 0x%x of transparent huge pages", task->pid,
			    tc->thp_disable);
	if (tc->has_autogroup_nice && (tc->autogroup_nice < -20 || tc->autogroup_nice > 19))
		plan_refuse(plan, "core-%d.img: nice value %d out of range", task->pid, tc->autogroup_nice);
	if (!tc->has_io_flusher || !tc->io_flusher)
		return 0;
	const struct privileges *mine = privileges_get(plan);
	if (mine && !privileges_has(mine, CAP_SYS_RESOURCE))
		plan_refuse_here(plan, "task %d was an I/O flusher: run ckpt restore with CAP_SYS_RESOURCE", task->pid);
	return mine ? 0 : -ENOMEM;
}

static int attrs_read(struct plan *plan, struct plan_task *task)
{
	const TaskCoreEntry *tc = task->core;

	if (tc->has_oom_score_adj)
		check_oom(plan, task);
	if (tc->has_membarrier_registration_mask && tc->membarrier_registration_mask & ~MEMBARRIER_REGISTER)
		plan_refuse(plan, "core-%d.img: unknown membarrier registrations 0x%x", task->pid,
			    tc->membarrier_registration_mask);
	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;

		if (!e || !e->has_pdeath_sig)
			continue;
		if (e->pdeath_sig > 64)
			plan_refuse(plan, "core-%d.img: parent-death signal %u", task->threads[i].tid, e->pdeath_sig);
		if (e->pdeath_sig && loses_parent(plan, task))
			log_warn("thread %d of the root gets no parent-death signal: its parent, ckpt restore, ends at "
				 "once",
				 task->threads[i].tid);
	}
	return check_own(plan, task);
}

static int attrs_prepare(struct plan *plan, struct plan_task *task)
{
	const TaskCoreEntry *tc = task->core;

	if (tc->has_oom_score_adj && tc->oom_score_adj != plan->inherited.oom_score_adj) {
		int err = write_proc_number("/proc/self/oom_score_adj", tc->oom_score_adj);

		if (err)
			return log_errno(-err, "can't set the OOM adjustment of task %d to %d", task->pid,
					 tc->oom_score_adj);
	}
	if (tc->has_loginuid && tc->loginuid != plan->inherited.loginuid &&
	    write_proc_number("/proc/self/loginuid", tc->loginuid))
		log_warn("can't set the login uid of task %d to %u: %s", task->pid, tc->loginuid, strerror(errno));
	if (tc->has_autogroup_nice && write_proc_number("/proc/self/autogroup", tc->autogroup_nice))
		log_warn("can't set the nice value of the session of task %d to %d: %s", task->pid, tc->autogroup_nice,
			 strerror(errno));
	if (tc->has_coredump_filter && tc->coredump_filter != plan->inherited.coredump_filter) {
		int err = write_proc_number("/proc/self/coredump_filter", tc->coredump_filter);

		if (err)
			return log_errno(-err, "can't set the core dump filter of task %d to 0x%x", task->pid,
					 tc->coredump_filter);
	}
	return 0;
}

uint32_t task_pdeath_signal(const struct plan *plan, const struct plan_task *task, const ThreadCoreEntry *e)
{
	return e->has_pdeath_sig && !loses_parent(plan, task) ? e->pdeath_sig : 0;
}

static int attrs_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	struct restorer_args *args = block->args;
	const TaskCoreEntry *tc = task->core;

	args->personality = tc->personality;
	args->membarrier = tc->has_membarrier_registration_mask ? tc->membarrier_registration_mask : 0;
	args->child_subreaper = tc->has_child_subreaper && tc->child_subreaper;
	args->io_flusher = tc->has_io_flusher && tc->io_flusher;
	args->mdwe = tc->has_mdwe ? tc->mdwe : 0;
	args->thp_disabled = task->mm->has_thp_disabled && task->mm->thp_disabled;
	if (tc->has_thp_disable)
		args->thp_disabled = tc->thp_disable;
	args->memory_merge = tc->has_memory_merge && tc->memory_merge;
	args->tsc_forbidden = tc->has_tsc_forbidden && tc->tsc_forbidden;
	args->dumpable = task->mm->has_dumpable ? task->mm->dumpable : -1;
	args->lock_future = task->mm->has_lock_future ? task->mm->lock_future : 0;
	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;
		struct restorer_thread *t = &args->threads[i];
		const char *comm = e->comm ? e->comm : tc->comm;

		snprintf(t->comm, sizeof(t->comm), "%s", comm);
		t->pdeath_sig = task_pdeath_signal(plan, task, e);
		if (task->parent && task->parent->main_exited) /* that would set it off: later */
			t->pdeath_sig = 0;
	}
	return 0;
}

const struct restore_part restore_part_attrs = {
	.name = "attributes",
	.read = attrs_read,
	.prepare = attrs_prepare,
	.fill = attrs_fill,
};
