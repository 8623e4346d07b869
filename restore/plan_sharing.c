/*
 * What clone(2) lets tasks share, and a fork gives to each: the table of descriptors (CLONE_FILES), and directories and
 * umask (CLONE_FS). Equal numbers in ids images mean the same object.
 *
 * Who shares is forked with it, directly or by others in between, who part with it (unshare(2)) when they have forked
 * their children. So one link in the tree can pass on one table only.
 * Not handled: memory (CLONE_VM), signal actions (CLONE_SIGHAND).
 */
#include "plan.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include "log.h"

static bool same_fs(const FsEntry *a, const FsEntry *b)
{
	return a->cwd_id == b->cwd_id && a->root_id == b->root_id && a->has_umask == b->has_umask &&
	       a->umask == b->umask;
}

static void share(struct plan *plan, struct plan_task *task, struct plan_task *other)
{
	const char *what = NULL;

	if (other->ids->vm_id == task->ids->vm_id)
		what = "memory (CLONE_VM)";
	else if (other->ids->sighand_id == task->ids->sighand_id)
		what = "signal handlers (CLONE_SIGHAND)";
	if (what)
		plan_refuse(plan, "tasks %d and %d share %s: not supported yet", other->pid, task->pid, what);
	if (other->ids->files_id == task->ids->files_id)
		task->files_of = other->files_of;
	if (other->ids->fs_id == task->ids->fs_id)
		task->fs_of = other->fs_of;
	if (other->ids->fs_id == task->ids->fs_id && !same_fs(other->fs, task->fs))
		plan_refuse(plan, "tasks %d and %d share directories and umask, but theirs differ: damaged images",
			    other->pid, task->pid);
}

void plan_find_sharers(struct plan *plan, struct plan_task *task)
{
	task->files_of = task->fs_of = task;
	for (size_t i = 0; i < task->index; i++)
		if (plan->tasks[i].ids)
			share(plan, task, &plan->tasks[i]);
}

static struct plan_task *object_of(const struct plan_task *task, uint64_t flag)
{
	return flag == CLONE_FILES ? task->files_of : task->fs_of;
}

/*
 * Lets all between the users of an object and the lowest task from which all of these are forked be born with it.
 * below: room for a number for each task, of users among it and those forked from it.
 */
static void connect_users(struct plan *plan, const struct plan_task *first, uint64_t flag, uint32_t *below)
{
	uint32_t users = flag == CLONE_FILES ? first->files_users : first->fs_users;

	if (users < 2)
		return;
	memset(below, 0, plan->n_tasks * sizeof(*below));
	for (size_t i = first->index; i < plan->n_tasks; i++)
		if (object_of(&plan->tasks[i], flag) == first)
			for (struct plan_task *t = &plan->tasks[i]; t; t = plan_forker(t))
				below[t->index]++;
	for (size_t i = 0; i < plan->n_tasks; i++)
		if (below[i] && below[i] < users)
			plan->tasks[i].born_with |= flag;
}

/* The one at whose birth the table is made with which the task is born. */
static struct plan_task *maker(struct plan_task *task, uint64_t flag)
{
	while (task->born_with & flag)
		task = plan_forker(task);
	return task;
}

/* Each of these tables is that of one object; who has another parts with it. */
static int order_object(struct plan *plan, uint64_t flag, const char *what)
{
	struct plan_task **kept = plan_alloc(plan, plan->n_tasks * sizeof(*kept)); /* by makers: whose object it is */

	if (!kept)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n_tasks; i++) {
		struct plan_task *task = &plan->tasks[i], *first = object_of(task, flag);
		uint32_t users = flag == CLONE_FILES ? first->files_users : first->fs_users;
		struct plan_task **kept_there = &kept[maker(task, flag)->index];

		if (users < 2)
			continue;
		if (*kept_there && *kept_there != first) {
			plan_refuse(
				plan,
				"task %d shares %s with others, and so does task %d, with different ones, which stands "
				"between them in the tree: not supported yet",
				task->pid, what, (*kept_there)->pid);
			break;
		}
		*kept_there = first;
	}
	for (size_t i = 0; i < plan->n_tasks; i++) {
		struct plan_task *task = &plan->tasks[i], *there = kept[maker(task, flag)->index];

		if (there && there != object_of(task, flag))
			task->parts_with |= flag;
	}
	return 0;
}

int plan_order_sharing(struct plan *plan)
{
	uint32_t *below = plan_alloc(plan, plan->n_tasks * sizeof(*below));

	if (!below)
		return -ENOMEM;
	for (size_t i = 0; i < plan->n_tasks; i++) {
		struct plan_task *task = &plan->tasks[i];

		if (!task->files_of) /* it is dead */
			task->files_of = task->fs_of = task;
		plan->any_sharing |= task->files_of != task || task->fs_of != task;
		task->files_of->files_users++;
		task->fs_of->fs_users++;
	}
	if (!plan->any_sharing)
		return 0;
	for (size_t i = 0; i < plan->n_tasks; i++) {
		connect_users(plan, &plan->tasks[i], CLONE_FILES, below);
		connect_users(plan, &plan->tasks[i], CLONE_FS, below);
	}
	int err = order_object(plan, CLONE_FILES, "a table of descriptors (CLONE_FILES)");
	return err ? err : order_object(plan, CLONE_FS, "their directories (CLONE_FS)");
}
