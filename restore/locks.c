/*
 * File locks. What belongs to an open file is taken by the task that the image names, through its final descriptor.
 * POSIX locks belong to the table of descriptors, and each close(2) of any descriptor of the file drops them: so the
 * blob takes these, when the temporary ones are gone. Nobody is waited for: what somebody else has taken since the dump
 * makes the restore fail.
 */
#include "locks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "block.h"
#include "image_consts.h"
#include "log.h"
#include "plan.h"

static const struct plan_fd *find_fd(const struct plan *plan, const FileLockEntry *e)
{
	const struct plan_task *task = plan_task_by_pid(plan, e->pid);

	for (size_t i = 0; task && i < task->n_fds; i++)
		if (task->fds[i].fd == e->fd)
			return &task->fds[i];
	return NULL;
}

static bool is_sane(const FileLockEntry *e)
{
	bool breaking = e->type & LOCK_BREAKING;
	uint32_t type = e->type & ~LOCK_BREAKING;

	switch (e->flag) {
	case LOCK_KIND_POSIX:
	case LOCK_KIND_OFD:
		return e->type <= F_WRLCK && e->start >= 0 && e->len >= 0 && e->len <= INT64_MAX - e->start;
	case LOCK_KIND_FLOCK:
		return e->type <= F_WRLCK;
	case LOCK_KIND_LEASE:
		return breaking ? type == F_RDLCK || type == F_UNLCK : type <= F_WRLCK;
	}
	return false;
}

int plan_read_locks(struct plan *plan)
{
	int err = plan_read_all(plan, IMG_FILE_LOCKS, 0, &plan->locks, &plan->n_locks);

	if (err)
		return err == -ENOENT ? 0 : err;
	for (size_t i = 0; i < plan->n_locks; i++) {
		const FileLockEntry *e = plan->locks[i];
		const struct plan_fd *fd = find_fd(plan, e);

		if (!is_sane(e))
			plan_refuse(plan, "filelocks.img: a lock of the kind %u, type %u, from %lld: unknown", e->flag,
				    e->type, (long long)e->start);
		else if (!fd || !fd->file)
			plan_refuse(plan, "filelocks.img: a lock by descriptor %d of task %d, which the images lack",
				    e->fd, e->pid);
	}
	return 0;
}

bool locks_wait(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_locks; i++)
		if (plan->locks[i]->flag == LOCK_KIND_LEASE)
			return true;
	return false;
}

static int take_flock(const FileLockEntry *e)
{
	return flock(e->fd, (e->type == F_WRLCK ? LOCK_EX : LOCK_SH) | LOCK_NB) ? -errno : 0;
}

static int take_ofd(const FileLockEntry *e)
{
	struct flock lock = { .l_type = e->type, .l_start = e->start, .l_len = e->len };

	return fcntl(e->fd, F_OFD_SETLK, &lock) ? -errno : 0;
}

/* Somebody wants the file: an open that does not wait says so once more. What it tells the holder was told before. */
static int break_lease(const FileLockEntry *e)
{
	const struct timespec now = {};
	char path[32];
	sigset_t all;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", e->fd);
	int mode = (e->type & ~LOCK_BREAKING) == F_RDLCK ? O_RDONLY : O_WRONLY;
	int fd = open(path, mode | O_NONBLOCK | O_CLOEXEC);
	int err = fd >= 0 ? -EBADF : errno == EWOULDBLOCK ? 0 : -errno;
	if (fd >= 0)
		close(fd);
	sigfillset(&all);
	while (sigtimedwait(&all, NULL, &now) > 0)
		;
	return err;
}

/* A lease for reading needs a file that is open for reading only; one for writing that becomes one is kept as READ. */
static int take_lease(const FileLockEntry *e)
{
	uint32_t type = e->type & ~LOCK_BREAKING;
	bool breaking = e->type & LOCK_BREAKING;

	if (breaking)
		type = type == F_UNLCK && (fcntl(e->fd, F_GETFL) & O_ACCMODE) == O_RDONLY ? F_RDLCK : F_WRLCK;
	if (fcntl(e->fd, F_SETLEASE, type))
		return -errno;
	return breaking ? break_lease(e) : 0;
}

int locks_take(const struct plan *plan, const struct plan_task *task)
{
	for (size_t i = 0; i < plan->n_locks; i++) {
		const FileLockEntry *e = plan->locks[i];

		if (e->pid != task->pid || e->flag == LOCK_KIND_POSIX)
			continue;
		int err = e->flag == LOCK_KIND_FLOCK ? take_flock(e)
			  : e->flag == LOCK_KIND_OFD ? take_ofd(e)
						     : take_lease(e);
		if (err)
			return log_errno(-err, "can't lock descriptor %d of task %d again%s", e->fd, e->pid,
					 err == -EAGAIN || err == -EACCES ? ": somebody else holds or uses the file now"
									  : "");
	}
	return 0;
}

static bool is_blobs(const FileLockEntry *e, const struct plan_task *task)
{
	return e->pid == task->pid && e->flag == LOCK_KIND_POSIX;
}

size_t locks_room(const struct plan *plan, const struct plan_task *task)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_locks; i++)
		n += is_blobs(plan->locks[i], task);
	return n * sizeof(struct restorer_file_lock) + 16;
}

int locks_fill(const struct plan *plan, const struct plan_task *task, struct block *block)
{
	struct restorer_args *args = block->args;
	struct restorer_file_lock *locks = block_alloc(block, locks_room(plan, task));

	if (!locks)
		return -ENOMEM;
	args->file_locks = locks;
	for (size_t i = 0; i < plan->n_locks; i++) {
		const FileLockEntry *e = plan->locks[i];

		if (is_blobs(e, task))
			locks[args->n_file_locks++] = (struct restorer_file_lock){
				.type = e->type, .start = e->start, .len = e->len, .fd = e->fd
			};
	}
	return 0;
}
