/*
 * io_uring(7): a ring counts on from where it was, for the program keeps the counters too. The kernel's own counters
 * move by requests alone: as many that do nothing are made, by a helper that ends then, so that no task of the tree is
 * known as one that has used the ring. Then rings and entries get the contents that they had.
 *
 * One that only the main thread of its owner may use is made and used by that itself.
 * Areas are mapped by the blob (restorer_alone.h), buffers registered by part_io_uring.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "io_uring_map.h"
#include "kernel_abi.h"
#include "late_files.h"
#include "log.h"
#include "plan.h"
#include "task.h"

#define SETUP_FLAGS                                                                                                    \
	(IORING_SETUP_IOPOLL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG)
#define SLOTS_MAX (1u << 20) /* more than the kernel allows in either table */

static bool is_size(uint32_t n, uint32_t max)
{
	return n && n <= max && !(n & (n - 1));
}

static const char *check_entry(const IoUringFileEntry *e)
{
	uint32_t last = 0;

	if (!is_size(e->sq_entries, IO_URING_SQ_MAX) || !is_size(e->cq_entries, IO_URING_CQ_MAX) ||
	    e->cq_entries < e->sq_entries)
		return "its sizes are";
	if (e->setup_flags & ~SETUP_FLAGS)
		return "its flags are";
	if (e->n_offsets != URING_OFFSETS)
		return "its offsets are";
	if (e->sq_head - e->cq_tail > INT32_MAX)
		return "its counters are";
	if (e->file_slots > SLOTS_MAX || e->buffer_slots > SLOTS_MAX)
		return "its tables are";
	for (size_t i = 0; i < e->n_files; last = e->files[i++]->index)
		if (e->files[i]->index >= e->file_slots || (i && e->files[i]->index <= last))
			return "its files are";
	for (size_t i = 0; i < e->n_buffers; last = e->buffers[i++]->index)
		if (e->buffers[i]->index >= e->buffer_slots || (i && e->buffers[i]->index <= last))
			return "its buffers are";
	return NULL;
}

/* Makes one like it, to see whether this kernel does it in the same way. */
static void check_kernel(struct plan *plan, const struct plan_file *file, const IoUringFileEntry *e)
{
	struct uring u = { .p = { .flags = IORING_SETUP_CQSIZE | e->setup_flags, .cq_entries = e->cq_entries } };
	_cleanup_close_ int fd = plan->offline ? -1 : uring_setup(e->sq_entries, &u.p);

	if (plan->offline)
		return;
	if (fd < 0) {
		plan_refuse(plan,
			    "io_uring 0x%x: no such ring can be made here: %s (see sysctl kernel.io_uring_disabled)",
			    file->id, strerror(-fd));
		return;
	}
	uring_sizes(&u);
	if (memcmp(e->offsets, &u.p.sq_off, URING_OFFSETS * sizeof(uint32_t)))
		plan_refuse(plan,
			    "io_uring 0x%x: this kernel has another layout of rings; restore on one like that of "
			    "the dump",
			    file->id);
	else if (e->rings.len > u.rings_size || e->sqes.len > u.sqes_size)
		plan_refuse(plan, "files.img: io_uring 0x%x: its contents are out of range", file->id);
	if (e->features & ~u.p.features)
		plan_refuse(plan, "io_uring 0x%x: this kernel lacks features that the program was told of (0x%x)",
			    file->id, e->features & ~u.p.features);
}

static int io_uring_read(struct plan *plan, struct plan_file *file)
{
	const IoUringFileEntry *e = file->entry->io_uring;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind IO_URING but has no io_uring entry", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	const char *wrong = check_entry(e);
	if (wrong)
		plan_refuse(plan, "files.img: io_uring 0x%x: %s out of range", file->id, wrong);
	else
		check_kernel(plan, file, e);
	return 0;
}

static int io_uring_resolve(struct plan *plan, struct plan_file *file)
{
	const IoUringFileEntry *e = file->entry->io_uring;
	struct plan_file **targets = file->data = plan_alloc(plan, e->n_files * sizeof(*targets) + 1);

	if (!targets)
		return -ENOMEM;
	for (size_t i = 0; i < e->n_files; i++) {
		targets[i] = plan_file_by_id(plan, e->files[i]->file_id);
		if (targets[i] && targets[i]->kind && targets[i] != file)
			continue;
		plan_refuse(plan, "files.img: a registered file of io_uring 0x%x is not in the images", file->id);
		targets[i] = NULL;
	}
	if (!file->with->owner && (file->map[0].owner || file->map[1].owner))
		plan_refuse(plan, "io_uring 0x%x is mapped, but nobody has a descriptor of it", file->id);
	return 0;
}

static bool give_owner(struct plan_file *file, struct plan_task *task)
{
	struct plan_task *owner = plan_common_ancestor(file->owner, task);
	bool moved = owner != file->owner;

	file->owner = owner;
	return moved;
}

/* Who maps it needs a descriptor, its owner all registered files. */
static bool io_uring_reach(struct plan *plan, struct plan_file *file)
{
	struct plan_task *maps = plan_common_ancestor(file->map[0].owner, file->map[1].owner);
	struct plan_file **targets = file->data;
	bool moved = give_owner(file, maps);

	for (size_t i = 0; i < file->entry->io_uring->n_files; i++)
		if (targets[i])
			moved |= give_owner(targets[i]->with, file->owner);
	return moved;
}

static bool is_single(const struct plan_file *file)
{
	return file->entry->io_uring->setup_flags & IORING_SETUP_SINGLE_ISSUER;
}

/* Whether nobody holds it but who opens it. */
static bool belongs_to_owner(const struct plan *plan, const struct plan_file *file)
{
	for (size_t i = 0; i < plan->n_tasks; i++)
		for (size_t f = 0; f < plan->tasks[i].n_fds; f++)
			if (plan->tasks[i].fds[f].file == file && &plan->tasks[i] != file->owner)
				return false;
	return file->first;
}

static void io_uring_used_by(struct plan *plan, struct plan_file *file, struct plan_task *ancestor)
{
	struct plan_file **targets = file->data;

	if (is_single(file) && !belongs_to_owner(plan, file))
		plan_refuse(plan, "io_uring 0x%x: only one thread may use it, but several tasks have it", file->id);
	for (size_t i = 0; i < file->entry->io_uring->n_files; i++)
		if (targets[i] && late_add_user(plan, targets[i], file->owner))
			plan_refuse(plan, "not enough memory");
}

static int io_uring_map(struct plan *plan, struct plan_file *file, int flags)
{
	int fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? log_errno(errno, "can't duplicate io_uring 0x%x", file->id) : fd_to_temporary(plan, fd);
}

/* n requests that do nothing: what is submitted is all zeros, so each is entry 0, IORING_OP_NOP. */
static int submit(const struct uring *u, int fd, uint32_t n)
{
	uint32_t *tail = uring_at(u, u->p.sq_off.tail);

	while (n) {
		uint32_t batch = n < u->p.sq_entries ? n : u->p.sq_entries;

		__atomic_store_n(tail, *tail + batch, __ATOMIC_RELEASE);
		int done = uring_enter(fd, batch, 0, NULL, 0);
		if (done != (int)batch)
			return done < 0 ? done : -EIO;
		*uring_at(u, u->p.cq_off.head) = __atomic_load_n(uring_at(u, u->p.cq_off.tail), __ATOMIC_ACQUIRE);
		n -= batch;
	}
	return 0;
}

/* In the helper. */
static int count_up(const struct uring *u, int fd, const IoUringFileEntry *e)
{
	struct io_uring_sqe *sqe = (struct io_uring_sqe *)u->sqes;
	int err = submit(u, fd, e->cq_tail);

	sqe->flags = IOSQE_CQE_SKIP_SUCCESS; /* those that were dropped had no completion */
	if (!err)
		err = submit(u, fd, e->sq_head - e->cq_tail);
	sqe->flags = 0;
	if (!err && (*uring_at(u, u->p.sq_off.head) != e->sq_head || *uring_at(u, u->p.cq_off.tail) != e->cq_tail))
		err = -EIO;
	return err;
}

static int count_by_helper(struct plan *plan, const struct uring *u, const struct plan_file *file)
{
	const IoUringFileEntry *e = file->entry->io_uring;
	int status = 0;

	if (!e->sq_head && !e->cq_tail)
		return 0;
	if (is_single(file)) { /* by its owner's main thread, which it belongs to */
		int err = count_up(u, file->fd, e);

		return err ? log_errno(-err, "can't let io_uring 0x%x count up", file->id) : 0;
	}
	pid_t helper = tree_fork_anonymous(plan, 0);
	if (!helper) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		_exit(-count_up(u, file->fd, e));
	}
	if (helper < 0)
		return log_errno(errno, "can't fork a helper that uses a ring");
	if (waitpid(helper, &status, 0) != helper || !WIFEXITED(status))
		return log_errno(ECHILD, "the helper that uses io_uring 0x%x did not end well", file->id);
	return WEXITSTATUS(status) ? log_errno(WEXITSTATUS(status), "can't let io_uring 0x%x count up to %u and %u",
					       file->id, e->sq_head, e->cq_tail)
				   : 0;
}

/* The kernel's counters are there already. A ring made without an array of indices has none but those of their order.
 */
static void copy_contents(const struct uring *u, const IoUringFileEntry *e)
{
	uint32_t *array = uring_at(u, u->p.sq_off.array), used = 0;

	memset(u->rings, 0, u->rings_size);
	if (e->rings.len)
		memcpy(u->rings, e->rings.data, e->rings.len);
	if (e->sqes.len)
		memcpy(u->sqes, e->sqes.data, e->sqes.len);
	*uring_at(u, u->p.sq_off.head) = e->sq_head;
	*uring_at(u, u->p.cq_off.tail) = e->cq_tail;
	*uring_at(u, u->p.sq_off.ring_mask) = e->sq_entries - 1;
	*uring_at(u, u->p.cq_off.ring_mask) = e->cq_entries - 1;
	*uring_at(u, u->p.sq_off.ring_entries) = e->sq_entries;
	*uring_at(u, u->p.cq_off.ring_entries) = e->cq_entries;
	*uring_at(u, u->p.sq_off.flags) = 0;
	for (uint32_t i = 0; i < e->sq_entries; i++)
		used |= array[i];
	for (uint32_t i = 0; !used && i < e->sq_entries; i++)
		array[i] = i;
}

/* When all files are open, also those that were waited for. */
static int io_uring_finish(struct plan *plan, struct plan_file *file)
{
	const IoUringFileEntry *e = file->entry->io_uring;
	struct plan_file **targets = file->data;
	uint32_t n = e->file_slots;

	if (!n)
		return 0;
	_cleanup_free_ int *list = malloc(n * sizeof(*list));
	if (!list)
		return log_errno(ENOMEM, "io_uring 0x%x", file->id);
	memset(list, 0xff, n * sizeof(*list));
	for (size_t i = 0; i < e->n_files; i++)
		list[e->files[i]->index] = targets[i]->fd;
	int err = uring_register(file->fd, IORING_REGISTER_FILES, list, n);
	return err < 0 ? log_errno(-err, "can't give io_uring 0x%x a table of %u files (see ulimit -n)", file->id, n)
		       : 0;
}

static int io_uring_open(struct plan *plan, struct plan_file *file)
{
	const IoUringFileEntry *e = file->entry->io_uring;
	struct uring u = { .p = { .flags = IORING_SETUP_CQSIZE | e->setup_flags, .cq_entries = e->cq_entries } };
	int fd = uring_setup(e->sq_entries, &u.p);

	if (fd < 0)
		return log_errno(-fd, "can't make io_uring 0x%x", file->id);
	int err = fd_take(plan, file, fd);
	if (err)
		return err;
	err = uring_map(file->fd, &u);
	if (err)
		return log_errno(-err, "can't map io_uring 0x%x", file->id);
	err = count_by_helper(plan, &u, file);
	if (!err)
		copy_contents(&u, e);
	uring_unmap(&u);
	return err;
}

const struct restore_fd_kind restore_fd_io_uring = {
	.name = "io_uring",
	.type = FD_TYPES__IO_URING,
	.read = io_uring_read,
	.resolve = io_uring_resolve,
	.reach = io_uring_reach,
	.used_by = io_uring_used_by,
	.open = io_uring_open,
	.map = io_uring_map,
	.finish = io_uring_finish,
};
