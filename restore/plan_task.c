/*
 * What the core, ids, fs and mm images say about one task, as far as no part looks at it: that all are
 * there, that it lives in the namespaces of the caller.
 */
#include "plan.h"

#include <errno.h>
#include <signal.h>

#include "log.h"

static int missing(int err, const char *image, pid_t pid)
{
	if (err == -ENOENT) {
		log_err("%s-%d.img is missing: the images are incomplete", image, pid);
		return -EBADMSG;
	}
	return err;
}

/* Namespaces of the task, which must be those that the restored tasks are born into. */
static void check_namespaces(struct plan *plan, const struct plan_task *task)
{
	const TaskKobjIdsEntry *ids = task->ids, *root = plan->inventory->root_ids;
	const struct {
		const char *name;
		bool known;
		uint32_t id, outer;
	} ns[] = {
		{ "pid", ids->has_pid_ns_id, ids->pid_ns_id, root ? root->pid_ns_id : 0 },
		{ "network", ids->has_net_ns_id, ids->net_ns_id, root ? root->net_ns_id : 0 },
		{ "IPC", ids->has_ipc_ns_id, ids->ipc_ns_id, root ? root->ipc_ns_id : 0 },
		{ "UTS", ids->has_uts_ns_id, ids->uts_ns_id, root ? root->uts_ns_id : 0 },
		{ "mount", ids->has_mnt_ns_id, ids->mnt_ns_id, root ? root->mnt_ns_id : 0 },
		{ "user", ids->has_user_ns_id, ids->user_ns_id, root ? root->user_ns_id : 0 },
		{ "cgroup", ids->has_cgroup_ns_id, ids->cgroup_ns_id, root ? root->cgroup_ns_id : 0 },
		{ "time", ids->has_time_ns_id, ids->time_ns_id, root ? root->time_ns_id : 0 },
	};

	for (size_t i = 0; i < sizeof(ns) / sizeof(ns[0]); i++)
		if (ns[i].known && ns[i].id && ns[i].id != ns[i].outer)
			plan_refuse(plan,
				    "task %d is in a %s namespace of its own: not supported yet; restore with CRIU",
				    task->pid, ns[i].name);
}

static void check_thread(struct plan *plan, const struct plan_task *task, const struct plan_thread *thread)
{
	const ThreadCoreEntry *tc = thread->core->thread_core;

	if (!thread->core->thread_info || !tc) {
		plan_refuse(plan, "core-%d.img: no registers or no thread state in it", thread->tid);
		return;
	}
}

static int read_core(struct plan *plan, struct plan_task *task, struct plan_thread *thread)
{
	/* Kept when the parts of the task are read. */
	int err = image_read_one(&plan->images, IMG_CORE, thread->tid, (ProtobufCMessage **)&thread->core);

	if (err)
		return missing(err, "core", thread->tid);
	if (thread->core->mtype != CORE_ENTRY__MARCH__X86_64) {
		log_err("core-%d.img: the images were made on another architecture (%u), not x86_64", thread->tid,
			thread->core->mtype);
		return -ENOTSUP;
	}
	if (thread == task->threads && !thread->core->tc) {
		log_err("core-%d.img: no task state in it", thread->tid);
		return -EBADMSG;
	}
	return 0;
}

static bool kills(int sig)
{
	static const int harmless[] = { SIGCHLD, SIGCONT, SIGURG, SIGWINCH, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU };

	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		if (sig == harmless[i])
			return false;
	return sig > 0 && sig <= 64;
}

static void check_state(struct plan *plan, struct plan_task *task)
{
	uint32_t status = task->core->exit_code;

	switch (task->state) {
	case TASK_ALIVE:
	case TASK_STOPPED:
	case TASK_HELPER:
		break;
	case TASK_DEAD:
		if (status & ~0xffffu || (status & 0x7f && !kills(status & 0x7f)))
			plan_refuse(plan, "core-%d.img: no process can end with the status 0x%x", task->pid, status);
		break;
	default:
		plan_refuse(plan, "core-%d.img: unknown task state 0x%x", task->pid, task->state);
	}
	if (task->main_exited && (task->n_threads < 2 || status & ~0xff00u))
		plan_refuse(plan, "core-%d.img: no main thread can have ended with the status 0x%x beside %zu others",
			    task->pid, status, task->n_threads - 1);
	if (!task->parent && (task->state == TASK_DEAD || task->state == TASK_HELPER))
		plan_refuse(plan, "task %d, the root, is dead: there is nothing to restore", task->pid);
	if (!plan_lives(task) && task->n_threads > 1)
		plan_refuse(plan, "task %d is dead but has %zu threads", task->pid, task->n_threads);
}

int plan_read_task(struct plan *plan, struct plan_task *task)
{
	int err = read_core(plan, task, &task->threads[0]);

	if (err)
		return err;
	task->core = task->threads[0].core->tc;
	task->state = task->core->task_state;
	task->main_exited = task->state == TASK_ZOMBIE ||
			    (task->core->has_main_thread_exited && task->core->main_thread_exited && plan_lives(task));
	if (task->state == TASK_ZOMBIE)
		task->state = TASK_ALIVE;
	check_state(plan, task);
	if (!plan_lives(task))
		return 0;
	for (size_t i = 1; !err && i < task->n_threads; i++)
		err = read_core(plan, task, &task->threads[i]);
	/* a main thread that has exited has no registers that tell */
	const ThreadInfoX86 *info = err ? NULL
					: task->threads[task->main_exited && task->n_threads > 1].core->thread_info;
	task->compat = info && info->gpregs->has_mode && info->gpregs->mode == USER_X86_REGS_MODE__COMPAT;
	for (size_t i = 0; !err && i < task->n_threads; i++)
		check_thread(plan, task, &task->threads[i]);
	plan->n_threads += task->n_threads;
	if (!err)
		err = missing(plan_read_one(plan, IMG_IDS, task->pid, &task->ids), "ids", task->pid);
	if (!err)
		err = missing(plan_read_one(plan, IMG_FS, task->pid, &task->fs), "fs", task->pid);
	if (!err)
		err = missing(plan_read_one(plan, IMG_MM, task->pid, &task->mm), "mm", task->pid);
	if (err)
		return err;
	task->files_id = task->ids->files_id;
	check_namespaces(plan, task);
	plan_find_sharers(plan, task);
	return 0;
}
