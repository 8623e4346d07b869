/*
 * What was written into a pipe but not read yet (pipes-data.img, fifo-data.img). The bytes are taken without being
 * consumed by tee(2). In packet mode (O_DIRECT) each packet is an entry of its own, so that its borders survive.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"
#include "pipe-data.pb-c.h"

/* Copies the references to all bytes of the pipe, if any, into a pipe of our own, of the same size. */
static int copy_pipe(int from, int size, int bytes, int copy[2])
{
	if (!bytes)
		return 0;
	if (pipe2(copy, O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -errno;
	if (fcntl(copy[1], F_SETPIPE_SZ, size) < size)
		return errno ? -errno : -EPERM;
	ssize_t n = tee(from, copy[1], bytes, SPLICE_F_NONBLOCK);
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

void pipe_write_empty(struct image_writer *w, const struct dump_file *f, uint32_t size)
{
	put_data(w, f, size, NULL, 0);
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

/* A descriptor from which the bytes can be taken. Returns it, -1 when there is nothing to take, or -errno. */
static int open_reader(int fd, int bytes)
{
	char path[32];

	/* The writing end, too, leads to the bytes. To open a named pipe may wake others, so only where it must be. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!bytes)
		return -1;
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_WRONLY)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	else
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int pipe_write_data(struct image_writer *w, const struct dump_file *f, int fd)
{
	int copy[2] = { -1, -1 }, bytes = 0, size = fcntl(fd, F_GETPIPE_SZ);

	if (size < 0 || ioctl(fd, FIONREAD, &bytes))
		return log_errno(errno, "can't look into the pipe of %s of task %d", f->where, f->pid);
	_cleanup_close_ int reader = open_reader(fd, bytes);
	int err = bytes && reader < 0 ? reader : copy_pipe(reader, size, bytes, copy);
	if (!err)
		err = write_data(w, f, copy[0], size, bytes);
	if (copy[0] >= 0)
		close(copy[0]);
	if (copy[1] >= 0)
		close(copy[1]);
	return err ? log_errno(-err, "can't copy the %d bytes in the pipe of %s of task %d", bytes, f->where, f->pid)
		   : 0;
}
