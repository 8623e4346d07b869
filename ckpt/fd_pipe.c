/*
 * Pipes: their ends, and what was written but not read yet (pipes-data.img). The bytes are taken without
 * being consumed by tee(2). In packet mode (O_DIRECT) each packet is an entry of its own, so that its
 * borders survive. Does not handle: named pipes; an end outside the tree (told: it will be cut off).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"
#include "pipe-data.pb-c.h"
#include "pipe.pb-c.h"

struct pipe_state {
	bool other_end_open; /* somewhere */
};

static bool match(const struct fd_info *info)
{
	return S_ISFIFO(info->st.st_mode) && !strncmp(info->link, "pipe:", 5);
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct pipe_state *p = calloc(1, sizeof(*p));
	struct pollfd pfd = { .fd = info->fd };

	if (!p)
		return log_errno(ENOMEM, "fd %d of task %d", f->number, f->pid);
	f->data = p;
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

/* Copies the references to all bytes of the pipe into a pipe of our own, of the same size. */
static int copy_pipe(int from, int size, int bytes, int copy[2])
{
	if (pipe2(copy, O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -errno;
	if (fcntl(copy[1], F_SETPIPE_SZ, size) < size)
		return errno ? -errno : -EPERM;
	ssize_t n = bytes ? tee(from, copy[1], bytes, SPLICE_F_NONBLOCK) : 0;
	return n == bytes ? 0 : n < 0 ? -errno : -EIO;
}

static void put_data(struct image_writer *w, const struct dump_file *f, int size, const void *buf, size_t len)
{
	PipeDataEntry e = PIPE_DATA_ENTRY__INIT;

	e.pipe_id = f->st.st_ino;
	e.bytes = len;
	e.has_size = true;
	e.size = size;
	image_put(w, &e.base);
	image_put_bytes(w, buf, len);
}

/*
 * Our copy was made in packet mode: read(2) returns what was written as packets packet by packet, and all else
 * in one piece.
 */
static int write_data(struct image_writer *w, const struct dump_file *f, int fd, int size, int bytes)
{
	_cleanup_free_ char *buf = malloc(bytes + 1);
	int done = 0;

	if (!buf)
		return -ENOMEM;
	do {
		ssize_t n = bytes ? read(fd, buf, bytes - done) : 0;

		if (n < 0 || (!n && bytes))
			return n ? -errno : -EIO;
		put_data(w, f, size, buf, n);
		done += n;
	} while (done < bytes);
	return 0;
}

static int copy_data(struct image_writer *w, const struct dump_file *f, int fd)
{
	_cleanup_close_ int reader = -1;
	int copy[2] = { -1, -1 }, bytes = 0;
	char path[32];

	/* the writing end, too, leads to the bytes */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int size = reader < 0 ? -1 : fcntl(reader, F_GETPIPE_SZ);
	if (size < 0 || ioctl(reader, FIONREAD, &bytes))
		return log_errno(errno, "can't look into the pipe of fd %d of task %d", f->number, f->pid);
	int err = copy_pipe(reader, size, bytes, copy);
	if (!err)
		err = write_data(w, f, copy[0], size, bytes);
	if (copy[0] >= 0)
		close(copy[0]);
	if (copy[1] >= 0)
		close(copy[1]);
	return err ? log_errno(-err, "can't copy the %d bytes in the pipe of fd %d of task %d", bytes, f->number,
			       f->pid)
		   : 0;
}

struct pipe_images {
	struct image_writer image;
	ino_t last; /* pipe whose bytes are written; files come in the order of their inodes */
};

static int write_pipe(struct dump *d, struct dump_file *f, void *arg)
{
	struct pipe_images *w = arg;

	if (f->st.st_ino == w->last)
		return 0;
	w->last = f->st.st_ino;
	_cleanup_close_ int fd = files_get(d, f);
	return fd < 0 ? fd : copy_data(&w->image, f, fd);
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
