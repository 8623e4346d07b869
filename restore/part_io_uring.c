/* Registered buffers of rings of io_uring(7): the blob registers them, when the task has its memory. */
#include <errno.h>
#include <sys/uio.h>

#include "block.h"
#include "plan.h"

static const IoUringFileEntry *ring_of(const struct plan_fd *fd)
{
	return fd->file && fd->file->entry->type == FD_TYPES__IO_URING ? fd->file->entry->io_uring : NULL;
}

/* Whether it is the first descriptor of the ring in the tree, through which its buffers are registered. */
static bool registers(const struct plan_fd *fd)
{
	const IoUringFileEntry *e = ring_of(fd);

	return e && e->buffer_slots && fd->file->first == fd;
}

/* The tables are read in the order of tasks: the first one's was seen before. */
static int io_uring_read(struct plan *plan, struct plan_task *task)
{
	for (size_t i = 0; i < task->n_fds; i++) {
		const IoUringFileEntry *e = ring_of(&task->fds[i]);

		for (size_t b = 0; e && b < e->n_buffers; b++)
			if (e->buffers[b]->addr >= task->space_end ||
			    e->buffers[b]->len > task->space_end - e->buffers[b]->addr)
				plan_refuse(plan, "files.img: a buffer of io_uring 0x%x is out of range",
					    task->fds[i].file->id);
	}
	return 0;
}

size_t io_uring_room(const struct plan_task *task)
{
	size_t need = 0;

	for (size_t i = 0; i < task->n_fds; i++)
		if (registers(&task->fds[i]))
			need += sizeof(struct restorer_buffers) +
				ring_of(&task->fds[i])->buffer_slots * sizeof(struct iovec) + 32;
	return need;
}

static int io_uring_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	struct restorer_args *args = block->args;
	size_t n = 0;

	for (size_t i = 0; i < task->n_fds; i++)
		n += registers(&task->fds[i]);
	if (!n)
		return 0;
	struct restorer_buffers *to = block_alloc(block, n * sizeof(*to));
	if (!to)
		return -ENOMEM;
	args->buffers = to;
	for (size_t i = 0; i < task->n_fds; i++) {
		const IoUringFileEntry *e = ring_of(&task->fds[i]);

		if (!registers(&task->fds[i]))
			continue;
		struct iovec *list = block_alloc(block, e->buffer_slots * sizeof(*list));
		if (!list)
			return -ENOMEM;
		for (size_t b = 0; b < e->n_buffers; b++)
			list[e->buffers[b]->index] = (struct iovec){ (void *)e->buffers[b]->addr, e->buffers[b]->len };
		to[args->n_buffers++] = (struct restorer_buffers){ task->fds[i].fd, e->buffer_slots, list };
	}
	return 0;
}

const struct restore_part restore_part_io_uring = { .name = "io_uring", .read = io_uring_read, .fill = io_uring_fill };
