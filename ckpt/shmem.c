/*
 * Contents of shared memory: anonymous segments that tasks got from MAP_SHARED | MAP_ANONYMOUS and share since a
 * fork, and memfds (fd_memfd.c). Each is written once, whoever maps it: its file is reached through
 * /proc/PID/map_files or a descriptor, SEEK_DATA finds what is in it.
 */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "array.h"
#include "cleanup.h"
#include "dump.h"
#include "log.h"
#include "time_us.h"

#define PIECE (16ul << 20) /* bytes between two looks at the progress */

/* A file of shared memory, whoever maps it or holds a descriptor of it. */
struct segment {
	uint64_t ino;
	dev_t dev;
	uint32_t id; /* in the images: its inode number, if no other has that */
	pid_t pid; /* a task that has it */
	uint64_t huge; /* bytes of its pages, when they are huge pages; else 0 */
	int fd;
};

struct shmem {
	struct segment **list;
	size_t n;
	void *by_inode, *by_id; /* tsearch(3) */
};

static int compare_inodes(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->dev < y->dev ? -1 : x->dev > y->dev;
}

static int compare_ids(const void *a, const void *b)
{
	const struct segment *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static const struct segment *find(const struct dump *d, dev_t dev, uint64_t ino)
{
	const struct segment key = { .ino = ino, .dev = dev };
	struct segment **found = d->shmem ? tfind(&key, &d->shmem->by_inode, compare_inodes) : NULL;

	return found ? *found : NULL;
}

uint32_t shmem_id(const struct dump *d, dev_t dev, uint64_t ino)
{
	const struct segment *s = find(d, dev, ino);

	return s ? s->id : 0;
}

static int add(struct dump *d, struct segment *s)
{
	struct shmem *all = d->shmem;

	if (array_grow(&all->list, all->n, sizeof(*all->list)))
		return -ENOMEM;
	/*
	 * Inodes of two file systems (memfd of huge pages have their own) may have the same number. System V segments,
	 * which come without a device, may be number 0.
	 */
	for (s->id = s->ino; (!s->id && s->dev) || tfind(s, &all->by_id, compare_ids); s->id++)
		;
	if (!tsearch(s, &all->by_inode, compare_inodes) || !tsearch(s, &all->by_id, compare_ids))
		return -ENOMEM; /* all goes down: shmem_free() */
	all->list[all->n++] = s;
	return 0;
}

int shmem_add(struct dump *d, pid_t pid, const struct stat *st, uint64_t huge, int fd)
{
	struct segment *s = malloc(sizeof(*s));

	if (!d->shmem)
		d->shmem = calloc(1, sizeof(*d->shmem));
	int err = d->shmem && s ? 0 : -ENOMEM;
	if (s)
		*s = (struct segment){ .ino = st->st_ino, .dev = st->st_dev, .pid = pid, .huge = huge, .fd = fd };
	if (!err)
		err = add(d, s);
	if (!err)
		return 0;
	close(fd);
	free(s);
	return log_errno(-err, "shared memory of task %d", pid);
}

int shmem_collect(struct dump_task *t, const struct vma *v)
{
	const struct stat st = { .st_ino = v->ino, .st_dev = v->dev };
	char link[64];

	if (find(t->dump, v->dev, v->ino))
		return 0;
	snprintf(link, sizeof(link), "map_files/%lx-%lx", v->start, v->end);
	int fd = openat(t->proc, link, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return log_errno(errno, "can't open the shared memory at %#lx of task %d", v->start, t->pid);
	return shmem_add(t->dump, t->pid, &st, 0, fd);
}

/* Files of huge pages know no holes: pages that hold zeros only are left out. */
static int find_huge_data(const struct segment *s, uint64_t size, struct run_list *list)
{
	_cleanup_free_ char *page = malloc(s->huge);
	int err = page ? 0 : -ENOMEM;

	for (uint64_t at = 0; at < size && !err; at += s->huge) {
		ssize_t n = pread(s->fd, page, s->huge, at);

		if (n != (ssize_t)s->huge)
			return n < 0 ? -errno : -EIO;
		if (page[0] || memcmp(page, page + 1, s->huge - 1))
			err = run_add(list, (struct run){ .start = at, .end = at + s->huge });
	}
	return err;
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

/* The last page of a memfd may end before it is full: the image holds whole pages. */
static ssize_t fill_up(int to, off_t *at, size_t len)
{
	static const char zeros[IMAGE_PAGE_SIZE];
	ssize_t n = len < IMAGE_PAGE_SIZE ? write(to, zeros, len) : 0;

	*at += n > 0 ? n : 0;
	return n;
}

/* Some file systems do not splice. */
static ssize_t copy_some(int from, int to, off_t *at, size_t len)
{
	char buf[65536];
	ssize_t n = sendfile(to, from, at, len), done = 0;

	if (n >= 0 || errno != EINVAL)
		return n;
	n = pread(from, buf, len < sizeof(buf) ? len : sizeof(buf), *at);
	while (done < n) {
		ssize_t w = write(to, buf + done, n - done);

		if (w <= 0)
			return w;
		done += w;
	}
	*at += done;
	return n < 0 ? n : done;
}

int copy_bytes(int from, int to, uint64_t start, uint64_t end)
{
	off_t at = start;

	while ((uint64_t)at < end) {
		ssize_t n = copy_some(from, to, &at, end - at);

		if (!n)
			n = fill_up(to, &at, end - at);
		if (!n || (n < 0 && errno != EINTR)) /* EINTR: the alarm of the freezer */
			return n ? -errno : -EIO;
		int err = interrupted();
		if (err)
			return err;
	}
	return 0;
}

/* Piece by piece, to show the progress. */
static int copy_run(struct dump *d, int from, int to, const struct run *r)
{
	int err = 0;

	progress_more(&d->progress, r->end - r->start);
	for (uint64_t at = r->start, end; at < r->end && !err; at = end) {
		end = r->end - at < PIECE ? r->end : at + PIECE;
		err = copy_bytes(from, to, at, end);
		progress_add(&d->progress, end - at);
		progress_look(&d->progress);
	}
	return err;
}

static int write_segment(struct dump *d, struct segment *s)
{
	struct run_list list = {};
	struct stat st;
	uint32_t id = d->next_pages_id++;
	int err = fstat(s->fd, &st) ? -errno : 0;

	if (!err)
		err = s->huge ? find_huge_data(s, st.st_size, &list) : find_data(s->fd, &list);
	_cleanup_free_ struct run *owned = list.r;
	if (err)
		return log_errno(-err, "can't look into the shared memory of task %d", s->pid);
	err = pagemap_write(d, IMG_SHMEM_PAGEMAP, s->id, id, &list);
	_cleanup_close_ int out = err ? -1 : image_create_raw(&d->images, IMG_PAGES, id);
	if (err || out < 0)
		return err ? err : out;
	for (size_t i = 0; i < list.n && !err; i++) {
		err = copy_run(d, s->fd, out, &list.r[i]);
		d->stats.shpages_written += (list.r[i].end - list.r[i].start) / IMAGE_PAGE_SIZE;
	}
	d->stats.shpages_scanned += st.st_size / IMAGE_PAGE_SIZE;
	return err && err != -EINTR ? log_errno(-err, "can't write the shared memory of task %d", s->pid) : err;
}

int shmem_write(struct dump *d)
{
	uint64_t start = time_us();
	int err = 0;

	progress_phase(&d->progress, "shared memory", 0);
	for (size_t i = 0; d->shmem && i < d->shmem->n && !err; i++)
		err = write_segment(d, d->shmem->list[i]);
	d->stats.memdump_time += time_us() - start;
	return err;
}

static void free_nothing(void *node)
{
}

void shmem_free(struct dump *d)
{
	if (!d->shmem)
		return;
	tdestroy(d->shmem->by_inode, free_nothing);
	tdestroy(d->shmem->by_id, free_nothing);
	for (size_t i = 0; i < d->shmem->n; i++) {
		close(d->shmem->list[i]->fd);
		free(d->shmem->list[i]);
	}
	free(d->shmem->list);
	free(take_ptr(d->shmem));
}
