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
	if (file->ghost) /* it is entered through a descriptor */
		plan_need_mapping(file, task, false);
	return file;
}

static int fs_read(struct plan *plan, struct plan_task *task)
{
	task->cwd = find_directory(plan, task, task->fs->cwd_id, "working");
	task->root = find_directory(plan, task, task->fs->root_id, "root");
	if (task->root && (task->root->ghost || task->root->dead))
		plan_refuse(plan, "the root directory of task %d was removed: not supported yet", task->pid);
	return 0;
}

static int fail(const struct plan_task *task, const char *what, const char *path)
{
	return log_errno(errno, "can't make %s the %s directory of task %d", path, what, task->pid);
}

static int fs_prepare(struct plan *plan, struct plan_task *task)
{
	uint32_t *used = &plan->shared->slots[task->fs_of->index].used;

	/* Of those who share them the last sets them, when nobody needs paths as we see them. */
	if (__atomic_add_fetch(used, 1, __ATOMIC_SEQ_CST) < task->fs_of->fs_users)
		return 0;
	const char *cwd = task->cwd->entry->reg->name, *root = task->root->entry->reg->name;

	if (task->fs->has_umask)
		umask(task->fs->umask & 0777);
	if (task->cwd->dead)
		errno = -reg_enter_dead(plan, task->cwd);
	else
		errno = (task->cwd->ghost ? fchdir(task->cwd->map[0].fd) : chdir(cwd)) ? errno : 0;
	if (errno)
		return fail(task, "working", cwd);
	return strcmp(root, "/") && chroot(root) ? fail(task, "root", root) : 0;
}

const struct restore_part restore_part_fs = { .name = "directories", .read = fs_read, .prepare = fs_prepare };
