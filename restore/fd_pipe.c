/*
 * Pipes with what is in them. All ends of one pipe are opened together: pipe2(2) gives the first reader and
 * the first writer, further descriptions of an end are opened through /proc/self/fd. An end that nobody in
 * the images holds is closed again, which the other end notices as it should.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "cleanup.h"
#include "log.h"
#include "plan.h"

struct pipe_data {
	uint32_t pipe_id;
	uint32_t size; /* capacity; 0: not known */
	uint32_t bytes;
	uint8_t *data;
};

struct pipes {
	size_t n;
	struct pipe_data *list;
};

#define PIPE_SIZE_DEFAULT 65536

static int add_pipe(struct plan *plan, struct image_reader *r, const PipeDataEntry *e, struct pipe_data *p)
{
	const uint8_t *bytes;
	int err = image_get_bytes(r, e->bytes, &bytes);

	if (err)
		return err;
	*p = (struct pipe_data){ .pipe_id = e->pipe_id, .size = e->has_size ? e->size : 0, .bytes = e->bytes };
	if (e->bytes > (p->size ? p->size : PIPE_SIZE_DEFAULT))
		return image_bad(r, "pipe 0x%x holds %u bytes, more than its size", e->pipe_id, e->bytes);
	p->data = plan_alloc(plan, e->bytes + 1);
	if (!p->data)
		return -ENOMEM;
	memcpy(p->data, bytes, e->bytes);
	return 0;
}

/* pipes-data.img: entries with their bytes behind them. */
static int pipe_begin(struct plan *plan)
{
	_cleanup_image_ struct image_reader r = {};
	struct pipes *pipes = plan_alloc(plan, sizeof(*pipes));
	int err = image_open(&r, &plan->images, IMG_PIPES_DATA, 0);
	size_t room = 0;

	plan->pipes = pipes;
	if (!pipes)
		return -ENOMEM;
	if (err)
		return err == -ENOENT ? 0 : err;
	for (ProtobufCMessage *m; (err = image_get(&r, &m)) > 0;) {
		if (pipes->n == room) {
			struct pipe_data *old = pipes->list;

			room = room ? 2 * room : 16;
			pipes->list = plan_alloc(plan, room * sizeof(*pipes->list));
			if (pipes->list && pipes->n)
				memcpy(pipes->list, old, pipes->n * sizeof(*old));
		}
		err = plan_keep(plan, &m);
		if (!err)
			err = pipes->list ? add_pipe(plan, &r, (const PipeDataEntry *)m, &pipes->list[pipes->n])
					  : -ENOMEM;
		if (err)
			return err;
		pipes->n++;
	}
	return err;
}

/* Checks all entries of a pipe together: a pipe in packet mode has one for each packet. */
static void check_data(struct plan *plan, const PipeEntry *e)
{
	const struct pipes *pipes = plan->pipes;
	uint64_t bytes = 0, size = PIPE_SIZE_DEFAULT;

	for (size_t i = 0; i < pipes->n; i++) {
		if (pipes->list[i].pipe_id != e->pipe_id)
			continue;
		bytes += pipes->list[i].bytes;
		size = pipes->list[i].size ? pipes->list[i].size : size;
	}
	if (bytes > size)
		plan_refuse(plan, "pipes-data.img: pipe 0x%x holds %llu bytes, more than its size of %llu", e->pipe_id,
			    (unsigned long long)bytes, (unsigned long long)size);
}

static int pipe_read(struct plan *plan, struct plan_file *file)
{
	const PipeEntry *e = file->entry->pipe;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind PIPE but has no pipe entry", file->id);
		return -EBADMSG;
	}
	check_data(plan, e);
	file->flags = e->flags;
	file->fown = e->fown;
	return 0;
}

static struct plan_file *pipe_needs(struct plan *plan, struct plan_file *file)
{
	for (struct plan_file *f = plan->files; f < file; f++)
		if (f->kind == file->kind && f->entry->pipe->pipe_id == file->entry->pipe->pipe_id)
			return f;
	return NULL;
}

/* Writes one entry; in packet mode this is a packet. */
static int write_data(int fd, const struct pipe_data *data)
{
	if (data->size && fcntl(fd, F_GETPIPE_SZ) != (int)data->size && fcntl(fd, F_SETPIPE_SZ, data->size) < 0)
		return log_errno(errno, "can't make pipe 0x%x %u bytes large (see /proc/sys/fs/pipe-max-size)",
				 data->pipe_id, data->size);
	for (uint32_t done = 0; done < data->bytes;) {
		ssize_t n = write(fd, data->data + done, data->bytes - done);

		if (n < 0)
			return log_errno(errno, "can't write %u bytes into pipe 0x%x", data->bytes - done,
					 data->pipe_id);
		done += n;
	}
	return 0;
}

/* Puts the bytes back that nobody had read. Does not block: they fit. */
static int fill_pipe(const struct plan *plan, const struct plan_file *first, int fd)
{
	const struct pipes *pipes = plan->pipes;
	size_t entries = 0;
	int packets = 0, err = 0;

	for (size_t i = 0; i < pipes->n; i++)
		entries += pipes->list[i].pipe_id == first->entry->pipe->pipe_id;
	for (const struct plan_file *f = first; f; f = f->with_next)
		packets |= f->flags & O_DIRECT;
	/* The writer that was in packet mode may be gone. */
	if (entries > 1)
		packets = O_DIRECT;
	if (fcntl(fd, F_SETFL, O_NONBLOCK | packets))
		return log_errno(errno, "can't set the mode of pipe 0x%x", first->entry->pipe->pipe_id);
	for (size_t i = 0; !err && i < pipes->n; i++)
		if (pipes->list[i].pipe_id == first->entry->pipe->pipe_id)
			err = write_data(fd, &pipes->list[i]);
	return err;
}

/* One more description of the end fd. */
static int open_end(struct plan *plan, struct plan_file *file, int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, (file->flags & (O_ACCMODE | O_NONBLOCK | O_DIRECT)) | O_CLOEXEC);
	if (again < 0)
		return log_errno(errno, "can't open pipe 0x%x once more", file->entry->pipe->pipe_id);
	file->fd = fd_to_temporary(plan, again);
	return file->fd < 0 ? file->fd : 0;
}

/* Gives the descriptor that pipe2() made to the file. */
static int take_end(struct plan *plan, struct plan_file *file, int *fd)
{
	return fd_take(plan, file, take_fd(fd));
}

static int pipe_open(struct plan *plan, struct plan_file *first)
{
	_cleanup_close_ int reader = -1, writer = -1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return log_errno(errno, "can't make pipe 0x%x", first->entry->pipe->pipe_id);
	reader = ends[0];
	writer = ends[1];
	int err = fill_pipe(plan, first, writer);
	/* Those that need a new description first, while both ends are open. */
	struct plan_file *last[2] = {};
	for (struct plan_file *f = first; !err && f; f = f->with_next) {
		int mode = f->flags & O_ACCMODE;

		if (mode != O_RDWR && !last[mode])
			last[mode] = f;
		else
			err = open_end(plan, f, reader);
	}
	if (!err && last[O_RDONLY])
		err = take_end(plan, last[O_RDONLY], &reader);
	if (!err && last[O_WRONLY])
		err = take_end(plan, last[O_WRONLY], &writer);
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
