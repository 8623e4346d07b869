/*
 * Finds paths of watched files: by their handles (man 2 open_by_handle_at), which lead to what the kernel knows the
 * name of, as it does of most that is watched; among the files that the tree has open; and by searching directories.
 */
#include "watched_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "fh.pb-c.h"
#include "file_handle.h"
#include "image_consts.h"
#include "log.h"
#include "opts.h"
#include "proc_fdinfo.h"

static bool is_file(const struct stat *st, uint32_t dev, uint64_t ino)
{
	return st->st_ino == ino && kernel_dev(st->st_dev) == dev;
}

static bool leads_to(const char *path, const struct fdinfo_inotify *w)
{
	struct stat st;

	return !lstat(path, &st) && is_file(&st, w->dev, w->ino);
}

static bool is_ghost(const struct dump *d, uint32_t dev, uint64_t ino)
{
	for (const struct dump_file *f = files_next(d, NULL); f; f = files_next(d, f))
		if (f->kind == &dump_fd_reg && is_file(&f->st, dev, ino) && !f->st.st_nlink)
			return true;
	return false;
}

static char *find_by_handle(const struct fdinfo_inotify *w)
{
	char link[32], path[PATH_MAX];
	_cleanup_close_ int fd = file_handle_open(w->dev, w->handle_type, w->handle, w->handle_bytes);

	if (fd < 0)
		return NULL;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return NULL;
	path[n] = 0;
	return leads_to(path, w) ? strdup(path) : NULL;
}

static char *find_open(const struct dump *d, const struct fdinfo_inotify *w)
{
	for (const struct dump_file *f = files_next(d, NULL); f; f = files_next(d, f))
		if (is_file(&f->st, w->dev, w->ino) && f->link[0] == '/' && leads_to(f->link, w))
			return strdup(f->link);
	return NULL;
}

/* nftw(3) has no argument for its function. */
static const struct fdinfo_inotify *wanted;
static char *found;

static int look(const char *path, const struct stat *st, int type, struct FTW *at)
{
	if (type == FTW_NS || !is_file(st, wanted->dev, wanted->ino))
		return 0;
	found = strdup(path);
	return 1;
}

static char *search(const char *directory, const struct fdinfo_inotify *w)
{
	_cleanup_free_ char *path = realpath(directory, NULL);

	wanted = w;
	found = NULL;
	if (path)
		nftw(path, look, 16, FTW_PHYS);
	else
		log_warn("can't search %s for watched files: %s", directory, strerror(errno));
	return found;
}

/* Where --force-irmap looks: what is often watched. */
static const char *const usual[] = { "/etc", "/var/spool", "/var/log", "/usr/share/dbus-1", "/lib/udev" };

static char *find_path(const struct dump *d, const struct fdinfo_inotify *w)
{
	char *path = d->opts->force_irmap ? NULL : find_by_handle(w);

	if (!path)
		path = find_open(d, w);
	for (size_t i = 0; !path && i < d->opts->irmap_path_count; i++)
		path = search(d->opts->irmap_paths[i], w);
	for (size_t i = 0; !path && d->opts->force_irmap && i < sizeof(usual) / sizeof(usual[0]); i++)
		path = search(usual[i], w);
	return path ? path : find_by_handle(w);
}

int watched_file_judge(struct dump *d, const struct dump_file *f, const struct fdinfo_inotify *info,
		       struct watched_file *w, const char *kind, const char *where)
{
	char reason[160];

	w->ghost = is_ghost(d, info->dev, info->ino);
	free(w->path);
	w->path = w->ghost ? NULL : find_path(d, info);
	if (w->ghost || w->path)
		return 0;
	snprintf(reason, sizeof(reason), "the path of what it watches is not known (inode %lu of device %x:%x)",
		 (unsigned long)info->ino, info->dev >> 20, info->dev & 0xfffff);
	return blocker_add(d, f->pid, kind, reason,
			   "--irmap-scan-path DIRECTORY searches for it; else remove the watch before the dump", "%s",
			   where);
}

struct FhEntry *watched_file_handle(const struct fdinfo_inotify *info, const struct watched_file *w,
				    struct arena *arena)
{
	FhEntry *fh = arena_get(arena, sizeof(*fh));
	uint64_t *handle = arena_get(arena, FH_ENTRY_SIZES__min_entries * sizeof(*handle));

	if (!fh || !handle)
		return NULL;
	fh_entry__init(fh);
	fh->bytes = info->handle_bytes;
	fh->type = info->handle_type;
	fh->n_handle = FH_ENTRY_SIZES__min_entries;
	fh->handle = handle;
	memset(handle, 0, FH_ENTRY_SIZES__min_entries * sizeof(*handle));
	memcpy(handle, info->handle, info->handle_bytes);
	fh->path = w->path ? arena_strdup(arena, w->path) : NULL;
	return w->path && !fh->path ? NULL : fh;
}

void watched_file_warn(const struct dump_file *f, int fd, const char *kind)
{
	int bytes = 0;

	if (!ioctl(fd, FIONREAD, &bytes) && bytes)
		log_warn("task %d, %s: %d bytes of %s events that nobody has read are lost by a restore", f->pid,
			 f->where, bytes, kind);
}
