/*
 * Working directory, root directory, umask. Set before the blob, but after everything was opened: all paths of
 * images count from our own root.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "plan.h"

static struct plan_file *find_directory(struct plan *plan, struct plan_task *task, uint32_t id, const char *what)
{
	struct plan_file *file = plan_file_by_id(plan, id);

	if (!file || file->entry->type != FD_TYPES__REG) {
		plan_refuse(plan, "fs-%d.img: the %s directory 0x%x is not in files.img", task->pid, what, id);
		return NULL;
	}
	plan_check_file(plan, file);
	return file;
}

static int fs_read(struct plan *plan, struct plan_task *task)
{
	task->cwd = find_directory(plan, task, task->fs->cwd_id, "working");
	task->root = find_directory(plan, task, task->fs->root_id, "root");
	return 0;
}

static int change_root(struct plan *plan, const struct plan_task *task)
{
	if (!strcmp(task->root->entry->reg->name, "/"))
		return 0;
	if (chroot(task->root->entry->reg->name))
		return log_errno(errno, "can't change the root of task %d to %s", task->pid,
				 task->root->entry->reg->name);
	return 0;
}

static int fs_prepare(struct plan *plan, struct plan_task *task)
{
	const char *path = task->cwd->entry->reg->name;
	_cleanup_close_ int cwd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (cwd < 0)
		return log_errno(errno, "can't open %s, the working directory of task %d", path, task->pid);
	int err = change_root(plan, task);
	if (err)
		return err;
	if (fchdir(cwd))
		return log_errno(errno, "can't make %s the working directory of task %d", path, task->pid);
	if (task->fs->has_umask)
		umask(task->fs->umask & 0777);
	return 0;
}

const struct restore_part restore_part_fs = { .name = "directories", .read = fs_read, .prepare = fs_prepare };
