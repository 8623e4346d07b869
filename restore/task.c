/*
 * A task between its birth and the blob: it opens files, gives its descriptors their numbers, and tells the
 * blob what to map, from which file, and which pages to read.
 */
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "block.h"
#include "cleanup.h"
#include "fault.h"
#include "ghost.h"
#include "late_files.h"
#include "locks.h"
#include "log.h"
#include "opts.h"
#include "plan.h"
#include "shmem.h"
#include "stage.h"
#include "tty.h"

#define MAX_HOLES 16

bool task_ends_stopped(const struct plan *plan, const struct plan_task *task)
{
	return task->stop_signal || (task->state == TASK_ALIVE && plan->opts->leave_stopped);
}

int fd_to_temporary(struct plan *plan, int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, plan->fd_low), err = errno;

	close(fd);
	if (moved >= 0 && moved <= plan->fd_high)
		return moved;
	if (moved >= 0)
		close(moved);
	return log_errno(moved < 0 ? err : EMFILE, "no temporary descriptor left between %d and %d", plan->fd_low,
			 plan->fd_high);
}

/* At its home, or -1. */
static int to_home(const struct plan_file *file, int fd)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, file->home);

	if (moved == file->home) {
		close(fd);
		return moved;
	}
	if (moved >= 0)
		close(moved);
	return -1;
}

static bool wants_to_stay(const struct plan_file *file)
{
	return !file || (file->home >= 0 && file->first && !file->first->cloexec);
}

int fd_cloexec(struct plan_file *file, struct plan_file *other)
{
	bool stays = wants_to_stay(file) && wants_to_stay(other);

	if (file)
		file->stays = stays;
	if (other)
		other->stays = stays;
	return stays ? 0 : O_CLOEXEC;
}

int fd_place(struct plan *plan, struct plan_file *file, int fd)
{
	/* Often it is the lowest number that is free, as it was then. */
	if (file->home >= 0 && fd == file->home)
		return fd;
	int placed = file->home >= 0 ? to_home(file, fd) : -1;
	file->stays = false;
	return placed >= 0 ? placed : fd_to_temporary(plan, fd);
}

/* What was in the way of some was only open for a moment. */
static int settle_homes(const struct plan_file *first)
{
	for (struct plan_file *f = (struct plan_file *)first; f; f = f->with_next) {
		if (f->fd < 0 || f->home < 0 || f->fd == f->home)
			continue;
		int fd = to_home(f, f->fd);
		if (fd < 0)
			return log_errno(EBUSY, "number %d of file 0x%x is in use", f->home, f->id);
		f->fd = fd;
		f->stays = false;
	}
	return 0;
}

int fd_take(struct plan *plan, struct plan_file *file, int fd)
{
	return fd_take_made(plan, file, fd, -1);
}

int fd_take_made(struct plan *plan, struct plan_file *file, int fd, int made)
{
	int flags = file->flags & (O_NONBLOCK | O_APPEND | O_DIRECT | O_NOATIME);

	if (fd < 0)
		return log_errno(errno, "can't make file 0x%x (%s)", file->id, file->kind->name);
	file->fd = fd_place(plan, file, fd);
	if (file->fd < 0)
		return file->fd;
	if (flags != made && fcntl(file->fd, F_SETFL, flags))
		return log_errno(errno, "can't set the flags 0%o of file 0x%x (%s)", file->flags, file->id,
				 file->kind->name);
	return 0;
}

int task_fault_point(const struct plan *plan, enum fault_id id)
{
	int asked = fault_asked(id);

	if (asked != SIGINT && asked != SIGTERM)
		return fault_point(id);
	kill(plan->coordinator, asked);
	return 0;
}

static int open_mapping(struct plan *plan, struct plan_file *file, bool writes)
{
	file->map[writes].fd = file->kind->map(plan, file, writes ? O_RDWR : O_RDONLY);
	return file->map[writes].fd < 0 ? file->map[writes].fd : 0;
}

/*
 * The lowest free number is what open(2) gives: where the tree has none of that number, all that is opened would have
 * to be moved. So the root takes such numbers for that time. Returns how many, or -errno (logged).
 */
static int fill_holes(const struct plan *plan, const struct plan_task *task, int holes[MAX_HOLES])
{
	size_t h = 0;
	int n = 0;

	for (int number = 0; !task->parent && h < plan->n_homes && n < MAX_HOLES; number++) {
		if (number == plan->homes[h]) {
			h++;
			continue;
		}
		if (number >= plan->fd_low && number <= plan->fd_high)
			continue;
		if (dup3(plan->images.fd, number, O_CLOEXEC) < 0)
			return log_errno(errno, "can't take descriptor %d for a moment", number);
		holes[n++] = number;
	}
	return n;
}

int task_open_files(struct plan *plan, struct plan_task *task)
{
	int holes[MAX_HOLES], n_holes = fill_holes(plan, task, holes), err = n_holes < 0 ? n_holes : 0;

	for (struct plan_segment *s = plan->segments; !err && s; s = s->next)
		if (s->owner == task && !s->sysv)
			err = shmem_create(plan, s);
	for (struct plan_ghost *g = plan->ghosts; !err && g; g = g->next)
		if (g->owner == task)
			err = ghost_create(plan, g);
	for (size_t i = 0; !err && i < plan->n_files; i++) {
		struct plan_file *file = &plan->files[i];

		if (file->with == file && file->owner == task)
			err = file->late ? late_prepare(plan, file) : file->kind->open(plan, file);
		if (!err && file->with == file && file->owner == task && !file->late)
			err = settle_homes(file);
		for (int writes = 0; !err && writes < 2; writes++)
			if (file->map[writes].owner == task)
				err = open_mapping(plan, file, writes);
	}
	near_dir_close(&plan->near);
	while (n_holes > 0)
		close(holes[--n_holes]);
	for (size_t i = 0; !err && i < plan->n_files; i++) {
		struct plan_file *file = &plan->files[i];

		if (file->with->owner == task && file->fd >= 0 && file->kind->connect)
			err = file->kind->connect(plan, file);
	}
	return err ? err : task_fault_point(plan, FAULT_restore_files_opened);
}

/* The kernel remembers who set the owner of a file and checks at each signal whether they may send it. */
static int set_owner(struct plan_file *file, const FownEntry *fown)
{
	struct f_owner_ex owner = { fown->pid_type, fown->pid };
	bool as_other = fown->uid || fown->euid;
	int err = 0;

	if (fown->signum && fcntl(file->fd, F_SETSIG, fown->signum))
		return log_errno(errno, "can't set the signal of file 0x%x to %u", file->id, fown->signum);
	if (as_other && syscall(SYS_setresuid, fown->uid, fown->euid, -1))
		return log_errno(errno, "can't become user %u to own file 0x%x", fown->uid, file->id);
	if (fown->pid && fcntl(file->fd, F_SETOWN_EX, &owner))
		err = log_errno(errno, "can't make %u the owner of file 0x%x", fown->pid, file->id);
	if (as_other && syscall(SYS_setresuid, 0, 0, -1))
		err = log_errno(errno, "can't become root again");
	return err;
}

/* What needs the other tasks: late files, owners. */
static int finish_files(struct plan *plan, struct plan_task *task)
{
	int late = late_open_files(plan, task);

	if (late)
		return late;
	for (size_t i = 0; i < plan->n_files; i++) {
		struct plan_file *file = &plan->files[i];

		if (file->with->owner != task || file->fd < 0)
			continue;
		int err = file->fown ? set_owner(file, file->fown) : 0;
		if (!err && file->kind->finish)
			err = file->kind->finish(plan, file);
		if (err)
			return err;
	}
	return 0;
}

/* Its signals carry the number of the descriptor through which it was set: we take that of the first holder. */
static int set_async(const struct plan_fd *fd)
{
	int flags = fcntl(fd->fd, F_GETFL);

	if (flags < 0 || fcntl(fd->fd, F_SETFL, flags | FASYNC))
		return log_errno(errno, "can't set O_ASYNC of descriptor %d", fd->fd);
	return 0;
}

/* Closes the descriptors from first to last, but for temporary ones. */
static int close_between(const struct plan *plan, int first, int last)
{
	bool around = first < plan->fd_low && last > plan->fd_high;

	if (syscall(SYS_close_range, first, around ? plan->fd_low - 1 : last, 0) ||
	    (around && syscall(SYS_close_range, plan->fd_high + 1, last, 0)))
		return log_errno(errno, "can't close descriptors from %d to %d", first, last);
	return 0;
}

/* Homes of files that the task has inherited, but does not hold: there is nothing else at these numbers. */
static int close_foreign_homes(const struct plan *plan, const struct plan_task *task)
{
	size_t next = 0;
	int err = 0;

	for (size_t h = 0; h < plan->n_homes && !err; h++) {
		size_t last = h;

		while (next < task->n_fds && task->fds[next].fd < plan->homes[h])
			next++;
		if (next < task->n_fds && task->fds[next].fd == plan->homes[h])
			continue;
		while (last + 1 < plan->n_homes && (next == task->n_fds || plan->homes[last + 1] < task->fds[next].fd))
			last++;
		err = close_between(plan, plan->homes[h], plan->homes[last]);
		h = last;
	}
	return err;
}

/* Nothing but homes and temporary descriptors is open now; the latter lie beside all final numbers. */
static int number_descriptors(struct plan *plan, struct plan_task *task)
{
	for (size_t i = 0; i < task->n_fds; i++) {
		const struct plan_fd *fd = &task->fds[i];

		if (fd->file->fd == fd->fd) {
			if (fd->cloexec == fd->file->stays && fcntl(fd->fd, F_SETFD, fd->cloexec ? FD_CLOEXEC : 0))
				return log_errno(errno, "can't set the flags of descriptor %d", fd->fd);
		} else if (dup3(fd->file->fd, fd->fd, fd->cloexec ? O_CLOEXEC : 0) < 0)
			return log_errno(errno, "can't make file 0x%x descriptor %d of task %d", fd->file->id, fd->fd,
					 task->pid);
		int err = fd == fd->file->first && fd->file->flags & FASYNC ? set_async(fd) : 0;
		if (err)
			return err;
	}
	return close_foreign_homes(plan, task);
}

/*
 * A table that several share: the last who needs no descriptor for a moment, which might get a final number, does it
 * for all.
 */
static int number_table(struct plan *plan, struct plan_task *task)
{
	struct restorer_slot *table = &plan->shared->slots[task->files_of->index];
	uint32_t users = task->files_of->files_users;

	if (__atomic_add_fetch(&table->opened, 1, __ATOMIC_SEQ_CST) < users) {
		stage_wait_word(&table->numbered, 1);
		return 0;
	}
	int err = number_descriptors(plan, task);
	if (!err && users > 1)
		stage_set_word(&table->numbered, 1);
	return err;
}

/* Everything that arrived meanwhile is ours: children that died as they had to. All signals are blocked. */
static void flush_signals(void)
{
	const uint64_t all = ~0ul;
	const struct timespec now = {};

	while (syscall(SYS_rt_sigtimedwait, &all, NULL, &now, sizeof(all)) > 0)
		;
}

static void fill_fault(const struct plan *plan, const struct plan_task *task, struct restorer_args *args)
{
	static const struct {
		enum fault_id id;
		enum blob_fault point;
	} faults[] = {
		{ FAULT_restore_blob_entered, BLOB_FAULT_ENTERED }, { FAULT_restore_memory_mapped, BLOB_FAULT_MAPPED },
		{ FAULT_restore_memory_read, BLOB_FAULT_READ },	    { FAULT_restore_threads_made, BLOB_FAULT_THREADS },
		{ FAULT_restore_creds_set, BLOB_FAULT_CREDS },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		int asked = fault_asked(faults[i].id);

		if (!asked)
			continue;
		args->fault_step = faults[i].point;
		args->fault_signal = asked > 0 ? asked : 0;
		args->fault_target = asked == SIGKILL ? task->pid : plan->coordinator;
	}
}

static int fill_block(struct plan *plan, struct plan_task *task, struct block *block)
{
	int err = task_fill_memory(plan, task, block);

	if (!err)
		err = locks_fill(plan, task, block);

	for (size_t i = 0; !err && restore_parts[i]; i++)
		if (restore_parts[i]->fill)
			err = restore_parts[i]->fill(plan, task, block);
	block->args->fd_low = plan->fd_low;
	/* The root keeps the guard until the coordinator holds it by ptrace. */
	block->args->fd_high = plan->fd_high - (plan->guard_fd >= 0 && !task->files_of->parent);
	block->args->table_users = task->files_of->files_users;
	if (block->args->table_users > 1)
		block->args->table = &block->args->shared->slots[task->files_of->index];
	fill_fault(plan, task, block->args);
	return err;
}

_Noreturn void task_finish(struct plan *plan, struct plan_task *task)
{
	struct block block;
	int err = finish_files(plan, task);

	session_set_foreground(task);
	flush_signals();
	if (!err)
		err = number_table(plan, task);
	if (!err)
		err = locks_take(plan, task);
	if (!err)
		err = block_create(plan, task, &block);
	if (!err)
		err = fill_block(plan, task, &block);
	for (size_t i = 0; !err && restore_parts[i]; i++)
		if (restore_parts[i]->prepare)
			err = restore_parts[i]->prepare(plan, task);
	if (!err)
		block_enter(plan, task, &block);
	stage_fail(plan);
}
