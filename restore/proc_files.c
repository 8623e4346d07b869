/*
 * Files of /proc/PID of tasks of the tree. A task can open those of itself and of its ancestors like other files; those
 * of others when all tasks exist, which is too late to inherit them: then only one task may hold the file.
 */
#include "proc_files.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "plan.h"

static bool is_proc(const char *path)
{
	return !strncmp(path, "/proc/", 6) && path[6] >= '1' && path[6] <= '9';
}

const struct plan_task *proc_task(const struct plan *plan, const char *path)
{
	const struct plan_task *task = is_proc(path) ? plan_task_by_pid(plan, atoi(path + 6)) : NULL;

	return task && plan_lives(task) ? task : NULL;
}

static bool is_ancestor(const struct plan_task *a, const struct plan_task *task)
{
	while (task && task != a)
		task = task->parent;
	return task;
}

static size_t count_holders(const struct plan *plan, const struct plan_file *file)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_tasks; i++) {
		bool holds = false;

		for (size_t f = 0; f < plan->tasks[i].n_fds; f++)
			holds |= plan->tasks[i].fds[f].file == file;
		n += holds;
	}
	return n;
}

void proc_find_late(struct plan *plan, struct plan_file *file)
{
	const char *path = file->entry->reg->name;
	const struct plan_task *task = proc_task(plan, path);

	if (!task || is_ancestor(task, file->with->owner))
		return;
	file->late = true;
	if (file->map[0].owner || file->map[1].owner || count_holders(plan, file) > 1)
		plan_refuse(plan,
			    "%s is held by several tasks, of which one has to open it before task %d exists: not "
			    "supported yet",
			    path, task->pid);
}
