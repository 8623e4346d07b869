/*
 * Files of /proc/PID of tasks of the tree. A task can open those of itself and of its ancestors like other files; those
 * of others when all tasks exist (late_files.c).
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

void proc_find_late(struct plan *plan, struct plan_file *file)
{
	const char *path = file->entry->reg->name;
	const struct plan_task *task = proc_task(plan, path);

	if (!task || file->dead || is_ancestor(task, file->with->owner))
		return;
	file->late = true;
	if (file->map[0].owner || file->map[1].owner)
		plan_refuse(plan,
			    "%s is mapped, or a working directory, of a task that exists before task %d: not "
			    "supported yet",
			    path, task->pid);
}
