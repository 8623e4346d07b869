/*
 * Shared anonymous memory: segments that tasks got from MAP_SHARED | MAP_ANONYMOUS and share since a fork.
 * Each is written once, whoever maps it: its file is reached through /proc/PID/map_files, SEEK_DATA finds
 * what is in it. Its id in the image is its inode number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"
#include "time_us.h"

struct segment {
	uint64_t ino;
	dev_t dev;
	pid_t pid; /* a task that maps it */
	int fd;
};

struct shmem {
	struct segment *s;
	size_t n;
};

int shmem_collect(struct dump_task *t, const struct vma *v)
{
	struct dump *d = t->dump;
	char link[64];

	if (!d->shmem)
		d->shmem = calloc(1, sizeof(*d->shmem));
	if (!d->shmem)
		return log_errno(ENOMEM, "shared memory");
	for (size_t i = 0; i < d->shmem->n; i++)
		if (d->shmem->s[i].ino == v->ino && d->shmem->s[i].dev == v->dev)
			return 0;
	struct segment *s = realloc(d->shmem->s, (d->shmem->n + 1) * sizeof(*s));
	if (!s)
		return log_errno(ENOMEM, "shared memory");
	d->shmem->s = s;
	snprintf(link, sizeof(link), "map_files/%lx-%lx", v->start, v->end);
	int fd = openat(t->proc, link, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return log_errno(errno, "can't open the shared memory at %#lx of task %d", v->start, t->pid);
	s[d->shmem->n++] = (struct segment){ v->ino, v->dev, t->pid, fd };
	return 0;
}

static int find_data(int fd, struct run_list *list)
{
	off_t end = 0;

	for (;;) {
		off_t start = lseek(fd, end, SEEK_DATA);

		if (start < 0)
			return errno == ENXIO ? 0 : -errno; /* ENXIO: no more data */
		end = lseek(fd, start, SEEK_HOLE);
		if (end < 0)
			return -errno;
		end = (end + IMAGE_PAGE_SIZE - 1) & -IMAGE_PAGE_SIZE;
		int err = run_add(list, (struct run){ .start = start, .end = end });
		if (err)
			return err;
	}
}

static int copy_run(int from, int to, const struct run *run)
{
	off_t at = run->start;

	while ((uint64_t)at < run->end) {
		ssize_t n = sendfile(to, from, &at, run->end - at);

		if (n <= 0)
			return n ? -errno : -EIO;
		int err = interrupted();
		if (err)
			return err;
	}
	return 0;
}

static int write_segment(struct dump *d, struct segment *s)
{
	struct run_list list = {};
	struct stat st;
	uint32_t id = d->next_pages_id++;
	int err = find_data(s->fd, &list);
	_cleanup_free_ struct run *owned = list.r;

	if (err || fstat(s->fd, &st))
		return log_errno(err ? -err : errno, "can't look into the shared memory of task %d", s->pid);
	err = pagemap_write(d, IMG_SHMEM_PAGEMAP, s->ino, id, &list);
	_cleanup_close_ int out = err ? -1 : image_create_raw(&d->images, IMG_PAGES, id);
	if (err || out < 0)
		return err ? err : out;
	for (size_t i = 0; i < list.n && !err; i++) {
		err = copy_run(s->fd, out, &list.r[i]);
		d->stats.shpages_written += (list.r[i].end - list.r[i].start) / IMAGE_PAGE_SIZE;
	}
	d->stats.shpages_scanned += st.st_size / IMAGE_PAGE_SIZE;
	return err && err != -EINTR ? log_errno(-err, "can't write the shared memory of task %d", s->pid) : err;
}

int shmem_write(struct dump *d)
{
	uint64_t start = time_us();
	int err = 0;

	for (size_t i = 0; d->shmem && i < d->shmem->n && !err; i++)
		err = write_segment(d, &d->shmem->s[i]);
	d->stats.memdump_time += time_us() - start;
	return err;
}

void shmem_free(struct dump *d)
{
	for (size_t i = 0; d->shmem && i < d->shmem->n; i++)
		close(d->shmem->s[i].fd);
	if (d->shmem)
		free(d->shmem->s);
	free(take_ptr(d->shmem));
}
