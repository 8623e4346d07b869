/* Cutting duplicates out of the parents of incremental images, by fallocate(2). */
#include "dedup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "image_consts.h"
#include "log.h"
#include "packed.h"
#include "page_chain.h"

int dedup_mark(const struct image_dir *dir)
{
	int fd = openat(dir->fd, DEDUP_MARK, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		return log_errno(errno, "can't make %s/" DEDUP_MARK, dir->path);
	close(fd);
	return 0;
}

bool dedup_is_marked(const struct image_dir *dir)
{
	return !faccessat(dir->fd, DEDUP_MARK, F_OK, AT_SYMLINK_NOFOLLOW);
}

int dedup_punch(int fd, uint64_t offset, uint64_t len, const char *name)
{
	if (!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, len))
		return 0;
	return log_errno(errno, "can't cut pages out of %s%s", name,
			 errno == EOPNOTSUPP ? " (its file system has no holes)" : "");
}

/* The two must not be one file: nothing would be left. */
static bool is_same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) || fstat(b, &y) || (x.st_dev == y.st_dev && x.st_ino == y.st_ino);
}

/* Cuts out what both page maps have in their page images. */
static int punch_common(const struct pagemap *own, const struct pagemap *old, int fd, const struct image_dir *parent,
			uint64_t *bytes)
{
	size_t next = 0;

	for (size_t i = 0; i < own->n; i++) {
		const struct pagemap_range *r = &own->ranges[i], *o;

		if (!(r->flags & PE_PRESENT))
			continue;
		for (uint64_t at = r->start; at < r->end && (o = pagemap_find(old, &next, at)); at = o->end) {
			uint64_t start = o->start > at ? o->start : at, end = o->end < r->end ? o->end : r->end;

			if (start >= end)
				break;
			if (!(o->flags & PE_PRESENT))
				continue;
			int err = dedup_is_marked(parent) ? 0 : dedup_mark(parent);
			if (!err)
				err = dedup_punch(fd, o->offset + (start - o->start), end - start, old->name);
			if (err)
				return err;
			*bytes += end - start;
		}
	}
	return 0;
}

/* Cuts what a page map of the set has out of the same one of a parent. */
static int dedup_parent(const struct pagemap *own, int own_fd, const struct image_dir *parent, enum image_kind kind,
			uint64_t id, uint64_t *bytes)
{
	struct pagemap old;
	int err = pagemap_read(&old, parent, kind, id);

	if (err || !old.bytes) {
		pagemap_free(&old);
		return err == -ENOENT ? 0 : err;
	}
	if (packed_is(parent, old.pages_id)) {
		log_warn("%s/%s: its pages are compressed, and stay as they are", parent->path, old.name);
		pagemap_free(&old);
		return 0;
	}
	_cleanup_close_ int fd = pagemap_open_pages(&old, parent, O_RDWR);
	err = fd < 0 ? fd : 0;
	if (!err && is_same_file(fd, own_fd)) {
		log_err("%s and the images that build on it share pages-%u.img: they cannot be told apart",
			parent->path, old.pages_id);
		err = -EINVAL;
	}
	if (!err)
		err = punch_common(own, &old, fd, parent, bytes);
	pagemap_free(&old);
	return err;
}

static int dedup_pagemap(const struct image_chain *chain, enum image_kind kind, uint64_t id, uint64_t *bytes)
{
	struct pagemap own;
	int err = pagemap_read(&own, chain->first, kind, id);

	if (err || !own.bytes) {
		pagemap_free(&own);
		return err;
	}
	/* All that it promises must be there before the only other copy goes. */
	_cleanup_close_ int fd = pagemap_open_pages(&own, chain->first, O_RDONLY);
	err = fd < 0 ? fd : 0;
	for (size_t i = 0; !err && i < chain->n_parents; i++)
		err = dedup_parent(&own, fd, &chain->parents[i], kind, id, bytes);
	pagemap_free(&own);
	return err;
}

int dedup_parents(const struct image_dir *dir, uint64_t *bytes)
{
	_cleanup_chain_ struct image_chain chain = {};
	int err = image_chain_open(&chain, dir);
	int fd = err ? -1 : openat(dir->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	*bytes = 0;
	if (err)
		return err;
	if (!d)
		return log_errno(errno, "can't list %s", dir->path);
	for (struct dirent *e; !err && (e = readdir(d));) {
		enum image_kind kind;
		unsigned long id;

		if (pagemap_file_id(e->d_name, &kind, &id))
			err = dedup_pagemap(&chain, kind, id, bytes);
	}
	return err;
}
