/*
 * FIFOs (man 7 fifo): which they are, and what was written but not read yet (fifo-data.img, pipe_data.c). How one was
 * opened, by which name, and whether it was deleted since, says a second entry, of the kind REG (fd_reg.c).
 *
 * Other processes may have the FIFO open, too: they stay connected to its name. Told, since what they read or write
 * between dump and restore is theirs.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "cleanup.h"
#include "dump.h"
#include "fifo.pb-c.h"
#include "log.h"

struct fifo_state {
	const struct dump_file *reg; /* its other entry */
	bool other_end_open; /* somewhere */
};

static bool match(const struct fd_info *info)
{
	return S_ISFIFO(info->st.st_mode) && info->link[0] == '/' && !(info->flags & O_PATH) && info->number >= 0;
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct fifo_state *state = calloc(1, sizeof(*state));
	struct pollfd pfd = { .fd = info->fd };
	struct dump_file *reg;

	if (!state)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	f->data = state;
	if (poll(&pfd, 1, 0) < 0)
		return log_errno(errno, "can't poll %s of task %d", f->where, f->pid);
	state->other_end_open = !(pfd.revents & (POLLHUP | POLLERR)) && (f->flags & O_ACCMODE) == O_WRONLY;
	int err = files_add_second(d, f, &dump_fd_reg, info, &reg);
	state->reg = reg;
	return err;
}

static int judge_fifo(struct dump *d, const struct dump_file *f)
{
	const struct fifo_state *state = f->data;

	if (state->other_end_open && !files_has_inode(d, &f->st, O_RDONLY))
		log_warn("task %d, %s: a process outside the tree reads from %s: it finds the end of it until the "
			 "restore",
			 f->pid, f->where, f->link);
	return 0;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	FifoEntry *fifo = arena_get(arena, sizeof(*fifo));

	if (!fifo)
		return -ENOMEM;
	fifo_entry__init(fifo);
	fifo->id = f->id;
	fifo->pipe_id = f->st.st_ino;
	fifo->has_regf_id = true;
	fifo->regf_id = ((const struct fifo_state *)f->data)->reg->id;
	e->fifo = fifo;
	return 0;
}

struct fifo_images {
	struct image_writer image;
	ino_t last; /* whose bytes are written; files come in the order of their inodes */
};

static int write_fifo(struct dump *d, struct dump_file *f, void *arg)
{
	struct fifo_images *w = arg;

	if (f->st.st_ino == w->last)
		return 0;
	if (!w->last)
		image_create(&w->image, &d->images, IMG_FIFO_DATA, 0);
	w->last = f->st.st_ino;
	_cleanup_close_ int fd = files_get(d, f);
	return fd < 0 ? fd : pipe_write_data(&w->image, f, fd);
}

static int write_fifos(struct dump *d)
{
	struct fifo_images w = {};
	int err = files_each(d, &dump_fd_fifo, write_fifo, &w);
	int closed = w.last ? image_close(&w.image) : 0;

	return err ? err : closed;
}

const struct dump_fd_kind dump_fd_fifo = {
	.name = "FIFO",
	.type = FD_TYPES__FIFO,
	.match = match,
	.collect = collect,
	.judge = judge_fifo,
	.fill = fill,
	.write = write_fifos,
};
