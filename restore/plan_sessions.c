/*
 * Sessions and groups: in which order the tree must be forked so that everybody lands in the right one.
 *
 * A task is in the session of its parent at the time of its birth until it calls setsid(2) itself. So a
 * child that is in another session than its parent was either forked before the parent's setsid() ("early")
 * or made its own. What cannot be made like this was adopted by a subreaper: its session's leader, which is a
 * child of the same parent, forks it as a sibling (CLONE_PARENT); when the leader is gone a helper takes its
 * place, which has its number and exits afterwards. A leader further down forks a helper that forks the task and
 * exits, and the parent adopts it as it did before.
 */
#include "plan.h"

#include <errno.h>
#include <unistd.h>

#include "locks.h"
#include "log.h"
#include "opts.h"
#include "tty.h"

static bool leads_session(const struct plan_task *task)
{
	return task->sid == task->pid;
}

/* The root of a shell job is in a session of the shell it was dumped from: ours takes its place. */
static int adopt_shell_job(struct plan *plan)
{
	struct plan_task *root = &plan->tasks[0];

	if (leads_session(root))
		return 0;
	if (!plan->opts->shell_job && !plan->offline) {
		plan_refuse(plan,
			    "task %d, the root, does not lead its session %d, which is not part of the tree: "
			    "restore it as a shell job with --shell-job, or dump it started by setsid",
			    root->pid, root->sid);
		return 0;
	}
	pid_t sid = getsid(0), pgid = getpgrp();
	plan->shell_job = true;
	plan->old_sid = root->sid;
	plan->old_pgid = plan_task_by_pid(plan, root->pgid) ? 0 : root->pgid;
	for (size_t i = 0; i < plan->n_tasks; i++) {
		struct plan_task *task = &plan->tasks[i];

		if (task->sid == plan->old_sid)
			task->sid = sid;
		if (plan->old_pgid && task->pgid == plan->old_pgid)
			task->pgid = pgid;
	}
	return 0;
}

/* A helper can make one session for the children of one parent. */
static void need_session_helper(struct plan *plan, struct plan_task *task, pid_t sid)
{
	for (size_t i = 0; i < plan->n_tasks; i++) {
		struct plan_task *other = &plan->tasks[i];

		if (other->orphan_session == sid && other->parent != task->parent) {
			plan_refuse(plan,
				    "tasks %d and %d are children of different parents in session %d, whose leader "
				    "is gone: not supported yet; keep the leader alive",
				    task->pid, other->pid, sid);
			return;
		}
	}
	task->orphan_session = sid;
}

/*
 * Whether the session is one of those above the task, so that it may have been in it before it made its own; or one
 * whose leader is gone, so that a helper can make it above.
 */
static bool may_be_born_in(const struct plan *plan, const struct plan_task *task, pid_t sid)
{
	if (task->parent && !plan_task_by_pid(plan, sid))
		return true;
	for (const struct plan_task *t = task->parent; t; t = t->parent)
		if (t->sid == sid)
			return true;
	return false;
}

/*
 * The task adopts the child from below, where the leader of the session is: if nobody in between adopts, too, who would
 * be nearer. Returns false when it cannot be.
 */
static bool adopt(struct plan *plan, struct plan_task *task, struct plan_task *child, struct plan_task *leader)
{
	struct plan_task *t = leader;

	while (t && t != task && !t->adopts)
		t = t->parent;
	if (t != task)
		return false;
	child->born_by = leader;
	child->adopted = task->adopts = plan->any_adopted = true;
	return true;
}

/*
 * Decides when the children of the task are forked. need[]: the session that a task must be born in, 0 for
 * any. Children stand behind their parents, so theirs are known.
 */
static void order_children(struct plan *plan, struct plan_task *task, pid_t *need)
{
	pid_t born = 0;

	for (struct plan_task *child = task->children; child; child = child->next) {
		pid_t sid = need[child->index];

		if (!sid || sid == task->sid)
			continue;
		if (leads_session(task) && (!born || born == sid) && may_be_born_in(plan, task, sid)) {
			child->early = true;
			born = sid;
			continue;
		}
		struct plan_task *leader = plan_task_by_pid(plan, sid);
		if (leader && leader->parent == task)
			child->born_by = leader;
		else if (!leader)
			need_session_helper(plan, child, sid);
		else if (!adopt(plan, task, child, leader))
			plan_refuse(plan,
				    "task %d is in session %d, which its parent %d was never in, while the leader of "
				    "that session lives elsewhere, or below another one that adopts: not supported yet",
				    child->pid, sid, task->pid);
	}
	need[task->index] = leads_session(task) ? born : task->sid;
}

static void check_group(struct plan *plan, struct plan_task *task)
{
	struct plan_task *leader = plan_task_by_pid(plan, task->pgid);

	if (task->pgid == task->pid || (plan->shell_job && task->pgid == getpgrp()))
		return;
	if (leader && leader->sid == task->sid && leader->pgid == leader->pid)
		return;
	if (leader) {
		plan_refuse(plan,
			    "task %d is in group %d, but task %d has left that group or session: not supported yet",
			    task->pid, task->pgid, leader->pid);
		return;
	}
	if (!task->pgid || !task->sid) {
		plan_refuse(
			plan,
			"task %d has group %d and session %d: they lie outside of its pid namespace; not supported yet",
			task->pid, task->pgid, task->sid);
		return;
	}
	if (task->pgid == task->orphan_session)
		return;
	for (size_t i = 0; i < plan->n_tasks; i++) {
		struct plan_task *other = &plan->tasks[i];

		if (other->pgid == task->pgid && (other->makes_group || other->pgid == other->orphan_session))
			return;
	}
	task->makes_group = true;
}

/* Whether the task is born into its group, or makes it at once. */
static bool is_born_in_group(const struct plan *plan, const struct plan_task *task)
{
	if (task->pgid == task->pid)
		return true;
	if (!task->parent)
		return task->pgid == getpgrp();
	return !task->early && task->pgid == task->parent->pgid && is_born_in_group(plan, task->parent);
}

/* Whether some must wait for others: for the leader of their group, the end of the dead, the owner of a file. */
static bool need_each_other(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_tasks; i++) {
		const struct plan_task *task = &plan->tasks[i];

		if (!plan_lives(task) || task->born_by || task->orphan_session || task->makes_group ||
		    !is_born_in_group(plan, task) || (task->terminal && task->terminal->group != (uint32_t)task->pid))
			return true;
	}
	return plan->any_sharing || plan_files_wait(plan) || locks_wait(plan);
}

static void widen(struct plan *plan, pid_t number)
{
	if (number > plan->highest)
		plan->highest = number;
	if (number > 0 && (number < plan->lowest || !plan->lowest))
		plan->lowest = number;
}

/* Helpers without a number of their own get one beside all these. */
static void find_range(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_tasks; i++) {
		const struct plan_task *task = &plan->tasks[i];

		widen(plan, task->pgid);
		widen(plan, task->sid);
		widen(plan, task->orphan_session);
		for (size_t t = 0; t < task->n_threads; t++)
			widen(plan, task->threads[t].tid);
	}
}

int plan_order_sessions(struct plan *plan)
{
	pid_t *need = plan_alloc(plan, plan->n_tasks * sizeof(*need));
	int err = need ? adopt_shell_job(plan) : -ENOMEM;

	if (err)
		return err;
	for (size_t i = plan->n_tasks; i-- > 0;) {
		struct plan_task *task = &plan->tasks[i];

		if (!plan_lives(task) && task->children)
			plan_refuse(plan, "task %d is dead but has a child %d", task->pid, task->children->pid);
		if (leads_session(task) && task->pgid != task->pid)
			plan_refuse(plan, "task %d leads session %d but is in group %d", task->pid, task->sid,
				    task->pgid);
		order_children(plan, task, need);
	}
	for (size_t i = 0; i < plan->n_tasks; i++) {
		const struct plan_task *task = &plan->tasks[i];

		check_group(plan, &plan->tasks[i]);
		if (task->born_by && (task->born_by->born_by || task->born_by->orphan_session))
			plan_refuse(plan, "tasks %d and %d would have to be forked by each other: not supported yet",
				    task->pid, task->born_by->pid);
	}
	find_range(plan);
	int shared = plan_order_sharing(plan);
	plan->in_step = need_each_other(plan);
	return shared;
}
