/*
 * Pipes: their ends, and what was written but not read yet (pipes-data.img, pipe_data.c). Named ones: fd_fifo.c.
 * Does not handle: an end outside the tree (told: it will be cut off).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "dump.h"
#include "fd_seen.h"
#include "log.h"
#include "pipe.pb-c.h"

struct pipe_state {
	bool other_end_open; /* somewhere */
	uint32_t empty; /* its size in bytes when it was seen with nothing in it; 0: not known */
};

static bool match(const struct fd_info *info)
{
	return S_ISFIFO(info->st.st_mode) && !strncmp(info->link, "pipe:", 5);
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct pipe_state *p = calloc(1, sizeof(*p));
	struct pollfd pfd = { .fd = info->fd };
	int mode = info->flags & O_ACCMODE;

	if (!p)
		return log_errno(ENOMEM, "fd %d of task %d", f->number, f->pid);
	f->data = p;
	if (info->seen) {
		p->other_end_open = (mode == O_WRONLY || info->seen->pipe.writers) &&
				    (mode == O_RDONLY || info->seen->pipe.readers);
		p->empty = info->seen->pipe.empty ? info->seen->pipe.size : 0;
		return 0;
	}
	if (poll(&pfd, 1, 0) < 0)
		return log_errno(errno, "can't poll fd %d of task %d", f->number, f->pid);
	/* a reader sees POLLHUP without writers, a writer POLLERR without readers (man 7 pipe) */
	p->other_end_open = !(pfd.revents & (POLLHUP | POLLERR));
	return 0;
}

static int judge_pipe(struct dump *d, const struct dump_file *f)
{
	const struct pipe_state *p = f->data;
	int other = (f->flags & O_ACCMODE) == O_RDONLY ? O_WRONLY : O_RDONLY;

	if (p->other_end_open && !files_has_inode(d, &f->st, other))
		log_warn("task %d, fd %d: the other end of %s is outside the tree: after a restore it is cut off",
			 f->pid, f->number, f->link);
	return 0;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	PipeEntry *p = arena_get(arena, sizeof(*p));

	if (!p)
		return -ENOMEM;
	pipe_entry__init(p);
	p->id = f->id;
	p->pipe_id = f->st.st_ino;
	p->flags = f->flags;
	p->fown = (FownEntry *)&f->fown;
	e->pipe = p;
	return 0;
}

struct pipe_images {
	struct image_writer image;
	ino_t last; /* pipe whose bytes are written; files come in the order of their inodes */
};

static int write_pipe(struct dump *d, struct dump_file *f, void *arg)
{
	const struct pipe_state *p = f->data;
	struct pipe_images *w = arg;

	if (f->st.st_ino == w->last)
		return 0;
	w->last = f->st.st_ino;
	if (p->empty) {
		pipe_write_empty(&w->image, f, p->empty);
		return 0;
	}
	_cleanup_close_ int fd = files_get(d, f);
	return fd < 0 ? fd : pipe_write_data(&w->image, f, fd);
}

static int write_pipes(struct dump *d)
{
	struct pipe_images w = {};

	image_create(&w.image, &d->images, IMG_PIPES_DATA, 0);
	int err = files_each(d, &dump_fd_pipe, write_pipe, &w);
	int closed = image_close(&w.image);

	return err ? err : closed;
}

const struct dump_fd_kind dump_fd_pipe = {
	.name = "pipe",
	.type = FD_TYPES__PIPE,
	.match = match,
	.collect = collect,
	.judge = judge_pipe,
	.fill = fill,
	.write = write_pipes,
};
