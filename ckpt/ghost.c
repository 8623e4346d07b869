/*
 * Ghosts: regular files, directories and plain devices without a name, that descriptors, areas, executables and
 * working directories of the tree keep alive. The contents go into ghost-file-N.img, one for an inode however many
 * names it had, with holes left out; remap-fpath.img says which files are ghosts.
 * Does not handle (judged): contents above --ghost-limit, files that cannot be read, and files that lost their name
 * but still have another one somewhere (--link-remap of CRIU).
 */
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "file_handle.h"
#include "ghost-file.pb-c.h"
#include "log.h"
#include "opts.h"

#define DELETED " (deleted)"
#define BLOCK 512 /* st_blocks counts in these: man 2 stat */

struct ghost {
	uint32_t id;
	struct stat st;
	int fd; /* for reading; -1: that cannot be */
	int error; /* errno of opening it */
};

struct ghosts {
	void *tree; /* tsearch(3) by inode */
	size_t n;
};

static int compare(const void *a, const void *b)
{
	const struct ghost *x = a, *y = b;

	if (x->st.st_ino != y->st.st_ino)
		return x->st.st_ino < y->st.st_ino ? -1 : 1;
	return x->st.st_dev < y->st.st_dev ? -1 : x->st.st_dev > y->st.st_dev;
}

int ghost_add(struct dump *d, const struct dump_file *f, int fd, const struct ghost **ghost)
{
	const struct ghost key = { .st = f->st };
	char path[32];

	if (!d->ghosts)
		d->ghosts = calloc(1, sizeof(*d->ghosts));
	struct ghost **known = d->ghosts ? tfind(&key, &d->ghosts->tree, compare) : NULL;
	if (known) {
		*ghost = *known;
		return 0;
	}
	struct ghost *g = d->ghosts ? calloc(1, sizeof(*g)) : NULL;
	if (!g)
		return log_errno(ENOMEM, "%s", f->link);
	*g = (struct ghost){ .id = d->ghosts->n + 1, .st = f->st, .fd = -1 };
	/* A description of our own: theirs may not be readable, and has a position. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (S_ISREG(f->st.st_mode))
		g->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOATIME);
	if (S_ISREG(f->st.st_mode) && g->fd < 0 && errno == EPERM)
		g->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	g->error = S_ISREG(f->st.st_mode) && g->fd < 0 ? errno : 0;
	if (!tsearch(g, &d->ghosts->tree, compare)) {
		cleanup_close(&g->fd);
		free(g);
		return log_errno(ENOMEM, "%s", f->link);
	}
	d->ghosts->n++;
	*ghost = g;
	return 0;
}

/* Bytes that have to be kept: holes are none. */
static uint64_t contents(const struct stat *st)
{
	uint64_t used = st->st_blocks * (uint64_t)BLOCK, size = st->st_size;

	return !S_ISREG(st->st_mode) ? 0 : used < size ? used : size;
}

int ghost_judge(struct dump *d, const struct dump_file *f, const struct ghost *g)
{
	uint64_t bytes = contents(&g->st);
	char reason[PATH_MAX + 128], remedy[96], byte;

	if (g->error || (g->fd >= 0 && g->st.st_size && pread(g->fd, &byte, 1, 0) < 0)) {
		snprintf(reason, sizeof(reason), "%s can't be read: %s", f->link,
			 strerror(g->error ? g->error : errno));
		return blocker_add(d, f->pid, "deleted file", reason, "close it before the dump", "%s", f->where);
	}
	if (bytes <= d->opts->ghost_limit)
		return 0;
	snprintf(reason, sizeof(reason), "%s has %llu bytes, more than deleted files may have in the images (%llu)",
		 f->link, (unsigned long long)bytes, (unsigned long long)d->opts->ghost_limit);
	snprintf(remedy, sizeof(remedy), "--ghost-limit %llu, or close it before the dump", (unsigned long long)bytes);
	return blocker_add(d, f->pid, "deleted file", reason, remedy, "%s", f->where);
}

size_t ghost_name_length(const char *link)
{
	size_t len = strlen(link), end = strlen(DELETED);

	return len > end && !strcmp(link + len - end, DELETED) ? len - end : len;
}

/* Each stretch of data with its place in front. */
static int put_chunks(struct image_writer *w, const struct ghost *g)
{
	off_t end = 0;
	int err = 0;

	while (!err) {
		GhostChunkEntry e = GHOST_CHUNK_ENTRY__INIT;
		off_t start = lseek(g->fd, end, SEEK_DATA);

		if (start < 0)
			return errno == ENXIO ? 0 : -errno; /* ENXIO: no more data */
		end = lseek(g->fd, start, SEEK_HOLE);
		if (end < 0)
			return -errno;
		e.off = start;
		e.len = end - start;
		image_put(w, &e.base);
		int out = image_flush(w);
		err = out < 0 ? out : copy_bytes(g->fd, out, start, end);
	}
	return err;
}

static bool has_holes(const struct ghost *g)
{
	off_t hole = S_ISREG(g->st.st_mode) && g->st.st_size ? lseek(g->fd, 0, SEEK_HOLE) : -1;

	return hole >= 0 && hole < g->st.st_size;
}

static int write_ghost(struct dump *d, const struct ghost *g)
{
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
	Timeval atim = TIMEVAL__INIT, mtim = TIMEVAL__INIT;
	struct image_writer w;

	e.uid = g->st.st_uid;
	e.gid = g->st.st_gid;
	e.mode = g->st.st_mode;
	e.has_dev = e.has_ino = true;
	e.dev = kernel_dev(g->st.st_dev);
	e.ino = g->st.st_ino;
	e.has_rdev = S_ISCHR(g->st.st_mode);
	e.rdev = g->st.st_rdev;
	e.atim = &atim;
	e.mtim = &mtim;
	atim.tv_sec = g->st.st_atim.tv_sec;
	atim.tv_usec = g->st.st_atim.tv_nsec / 1000;
	mtim.tv_sec = g->st.st_mtim.tv_sec;
	mtim.tv_usec = g->st.st_mtim.tv_nsec / 1000;
	e.has_chunks = e.has_size = e.chunks = has_holes(g);
	e.size = g->st.st_size;
	image_create(&w, &d->images, IMG_GHOST_FILE, g->id);
	image_put(&w, &e.base);
	int err = e.chunks ? put_chunks(&w, g) : 0;
	if (!err && !e.chunks && S_ISREG(g->st.st_mode)) {
		int out = image_flush(&w);

		err = out < 0 ? out : copy_bytes(g->fd, out, 0, g->st.st_size);
	}
	if (err && err != -EINTR)
		log_errno(-err, "can't write the contents of deleted file %u", g->id);
	int closed = image_close(&w);
	return err ? err : closed;
}

/* twalk_r(3) */
struct writing_ghosts {
	struct dump *d;
	int err;
};

static void write_node(const void *node, VISIT order, void *arg)
{
	struct writing_ghosts *w = arg;

	if ((order == postorder || order == leaf) && !w->err)
		w->err = write_ghost(w->d, *(const struct ghost *const *)node);
}

uint32_t ghost_id(const struct ghost *ghost)
{
	return ghost->id;
}

int ghosts_write(struct dump *d)
{
	struct writing_ghosts w = { .d = d };

	if (d->ghosts)
		twalk_r(d->ghosts->tree, write_node, &w);
	return w.err;
}

static void free_ghost(void *node)
{
	struct ghost *g = node;

	cleanup_close(&g->fd);
	free(g);
}

void ghosts_free(struct dump *d)
{
	if (d->ghosts)
		tdestroy(d->ghosts->tree, free_ghost);
	free(take_ptr(d->ghosts));
}
