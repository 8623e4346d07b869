/*
 * Pipes with what is in them. All ends of one pipe are opened together: pipe2(2) gives the first reader and
 * the first writer, further descriptions of an end are opened through /proc/self/fd. An end that nobody in
 * the images holds is closed again, which the other end notices as it should.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "outside.h"
#include "pipe_data.h"
#include "plan.h"

static int pipe_begin(struct plan *plan)
{
	return pipe_data_read(plan, IMG_PIPES_DATA, &plan->pipes);
}

static int pipe_read(struct plan *plan, struct plan_file *file)
{
	const PipeEntry *e = file->entry->pipe;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind PIPE but has no pipe entry", file->id);
		return -EBADMSG;
	}
	pipe_data_check(plan, plan->pipes, e->pipe_id);
	file->flags = e->flags;
	file->fown = e->fown;
	char key[32];
	snprintf(key, sizeof(key), "pipe:[%u]", e->pipe_id);
	return outside_find(plan, file, key, S_IFIFO);
}

static struct plan_file *pipe_needs(struct plan *plan, struct plan_file *file)
{
	struct plan_file *first = id_map_get(plan, &plan->pipes_by_id, file->entry->pipe->pipe_id, file);

	return first == file ? NULL : first;
}

/* One more description of the end fd. */
static int open_end(struct plan *plan, struct plan_file *file, int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* Without O_NONBLOCK it would wait for the other end, which may be about to be opened. */
	int again = open(path, (file->flags & (O_ACCMODE | O_DIRECT)) | O_NONBLOCK | O_CLOEXEC);
	if (again >= 0 && !(file->flags & O_NONBLOCK) && fcntl(again, F_SETFL, file->flags & O_DIRECT)) {
		int err = errno;

		close(again);
		errno = err;
		again = -1;
	}
	if (again < 0)
		return log_errno(errno, "can't open pipe 0x%x once more", file->entry->pipe->pipe_id);
	file->fd = fd_place(plan, file, again);
	return file->fd < 0 ? file->fd : 0;
}

/* Gives the descriptor that pipe2() made with these flags to the file. */
static int take_end(struct plan *plan, struct plan_file *file, int *fd, int made)
{
	return fd_take_made(plan, file, take_fd(fd), made);
}

/* The pipe that --inherit-fd gives, by either end. What is in it stays, what waited in the old one is not added. */
static int open_given(struct plan *plan, struct plan_file *first)
{
	int err = 0;

	if (pipe_data_bytes(plan->pipes, first->entry->pipe->pipe_id))
		log_warn("pipe 0x%x comes from outside: %llu bytes that waited in it at the dump are lost",
			 first->entry->pipe->pipe_id,
			 (unsigned long long)pipe_data_bytes(plan->pipes, first->entry->pipe->pipe_id));
	for (struct plan_file *f = first; !err && f; f = f->with_next)
		err = open_end(plan, f, plan->inherited_fds[first->outside]);
	return err;
}

/* What the first of each end can be made with: when something is to be written first, that sets others. */
static int flags_of_both(const struct plan *plan, const struct plan_file *first, struct plan_file *const last[2])
{
	int flags = O_NONBLOCK | O_DIRECT;

	for (int end = 0; end < 2; end++)
		flags &= last[end] ? last[end]->flags : 0;
	return pipe_data_bytes(plan->pipes, first->entry->pipe->pipe_id) ? O_NONBLOCK : flags;
}

static int pipe_open(struct plan *plan, struct plan_file *first)
{
	_cleanup_close_ int reader = -1, writer = -1;
	int ends[2];

	if (first->outside >= 0)
		return open_given(plan, first);
	struct plan_file *last[2] = {};
	for (struct plan_file *f = first; f; f = f->with_next)
		if ((f->flags & O_ACCMODE) != O_RDWR && !last[f->flags & O_ACCMODE])
			last[f->flags & O_ACCMODE] = f;
	int made = flags_of_both(plan, first, last);
	if (pipe2(ends, fd_cloexec(last[O_RDONLY], last[O_WRONLY]) | made))
		return log_errno(errno, "can't make pipe 0x%x", first->entry->pipe->pipe_id);
	reader = ends[0];
	writer = ends[1];
	int err = pipe_data_put(plan->pipes, first->entry->pipe->pipe_id, first, writer);
	/* Those that need a new description first, while both ends are open. */
	for (struct plan_file *f = first; !err && f; f = f->with_next)
		if (f != last[O_RDONLY] && f != last[O_WRONLY])
			err = open_end(plan, f, reader);
	if (!err && last[O_RDONLY])
		err = take_end(plan, last[O_RDONLY], &reader, made);
	if (!err && last[O_WRONLY])
		err = take_end(plan, last[O_WRONLY], &writer, made);
	return err;
}

const struct restore_fd_kind restore_fd_pipe = {
	.name = "pipe",
	.type = FD_TYPES__PIPE,
	.begin = pipe_begin,
	.read = pipe_read,
	.needs = pipe_needs,
	.open = pipe_open,
};
