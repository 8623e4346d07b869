/*
 * pidfds: of tasks of the tree, which have to exist, so they are opened late (late_files.c); and of processes that were
 * reaped before the dump: one that ends at once stands in for each.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "kernel_abi.h"
#include "log.h"
#include "plan.h"
#include "task.h"

#define REAPED (-1)

static int pidfd_read(struct plan *plan, struct plan_file *file)
{
	const PidfdEntry *e = file->entry->pidfd;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind PIDFD but has no pidfd entry", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	file->late = e->nspid != REAPED;
	if (file->late && !plan_task_by_pid(plan, e->nspid))
		plan_refuse(plan, "files.img: pidfd 0x%x refers to process %d, which is not in the images", file->id,
			    e->nspid);
	if (e->flags & ~(O_NONBLOCK | PIDFD_THREAD))
		plan_refuse(plan, "files.img: pidfd 0x%x has the flags 0%o: unknown", file->id, e->flags);
	return 0;
}

/* Those of the same process that is gone. */
static struct plan_file *pidfd_needs(struct plan *plan, struct plan_file *file)
{
	const PidfdEntry *e = file->entry->pidfd;

	for (struct plan_file *f = plan->files; e->nspid == REAPED && f < file; f++)
		if (f->kind == file->kind && f->entry->pidfd->nspid == REAPED && f->entry->pidfd->ino == e->ino)
			return f;
	return NULL;
}

static int open_pidfds(struct plan *plan, struct plan_file *first, pid_t pid)
{
	int err = 0;

	for (struct plan_file *f = first; f && !err; f = f->with_next)
		err = fd_take(plan, f,
			      syscall(SYS_pidfd_open, pid, f->entry->pidfd->flags & (O_NONBLOCK | PIDFD_THREAD)));
	return err;
}

static int pidfd_open_files(struct plan *plan, struct plan_file *first)
{
	if (first->late)
		return open_pidfds(plan, first, first->entry->pidfd->nspid);
	pid_t pid = tree_fork_anonymous(plan, 0);
	if (!pid)
		_exit(0);
	if (pid < 0)
		return log_errno(errno, "can't fork a process for a pidfd to refer to");
	int err = open_pidfds(plan, first, pid);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return err;
}

const struct restore_fd_kind restore_fd_pidfd = {
	.name = "pidfd",
	.type = FD_TYPES__PIDFD,
	.read = pidfd_read,
	.needs = pidfd_needs,
	.open = pidfd_open_files,
};
