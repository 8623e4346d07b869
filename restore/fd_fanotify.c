/*
 * fanotify(7): groups are made like other files; their marks are added by the coordinator when all else is done, or
 * they would see what the restore itself does.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "kernel_abi.h"
#include "log.h"
#include "plan.h"
#include "watched.h"

#define GROUP_FLAGS 0x7fffu /* FAN_* of fanotify_init(2), up to FAN_REPORT_MNT */

static bool is_mount(const FanotifyMarkEntry *m)
{
	return m->type == MARK_TYPE__MOUNT || m->type == MARK_TYPE__FILESYSTEM;
}

/* What a mark is on, now. *fd keeps it, if it is one. Returns 0 or -errno (not logged). */
static int find_path(const struct plan *plan, const FanotifyMarkEntry *m, char path[PATH_MAX], int *fd)
{
	struct stat st;

	if (!is_mount(m))
		return watched_path(plan, m->s_dev, m->ie->i_ino, m->ie->f_handle, path, fd);
	if (snprintf(path, PATH_MAX, "%s", m->me->path) >= PATH_MAX)
		return -ENAMETOOLONG;
	return stat(path, &st) ? -errno : 0;
}

static int fanotify_read(struct plan *plan, struct plan_file *file)
{
	const FanotifyFileEntry *e = file->entry->ffy;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind FANOTIFY but has no fanotify entry", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	if (e->faflags & ~GROUP_FLAGS)
		plan_refuse(plan, "fanotify 0x%x: unknown flags 0x%x", file->id, e->faflags);
	for (size_t i = 0; i < e->n_mark; i++) {
		const FanotifyMarkEntry *m = e->mark[i];

		if (is_mount(m) ? !m->me || !m->me->path : m->type != MARK_TYPE__INODE || !m->ie) {
			log_err("files.img: a mark of fanotify 0x%x does not say what it is on", file->id);
			return -EBADMSG;
		}
		if (m->mask & FANOTIFY_PERMISSIONS)
			plan_refuse(plan, "fanotify 0x%x decides on accesses to files: not supported", file->id);
	}
	return 0;
}

static int fanotify_resolve(struct plan *plan, struct plan_file *file)
{
	const FanotifyFileEntry *e = file->entry->ffy;
	char path[PATH_MAX];

	for (size_t i = 0; i < e->n_mark && !plan->offline; i++) {
		_cleanup_close_ int fd = -1;
		const FanotifyMarkEntry *m = e->mark[i];
		int err = find_path(plan, m, path, &fd);

		if (err)
			plan_refuse(plan, "fanotify 0x%x watches %s, which can't be reached: %s", file->id,
				    is_mount(m)		    ? m->me->path
				    : m->ie->f_handle->path ? m->ie->f_handle->path
							    : "a file without a name",
				    strerror(-err));
	}
	return 0;
}

static int fanotify_open(struct plan *plan, struct plan_file *file)
{
	const FanotifyFileEntry *e = file->entry->ffy;

	return fd_take(plan, file, fanotify_init(e->faflags, e->evflags));
}

static int add_mark(struct plan *plan, const struct plan_file *file, int fd, const FanotifyMarkEntry *m)
{
	uint32_t flags = FAN_MARK_ADD | (m->type == MARK_TYPE__MOUNT	    ? FAN_MARK_MOUNT
					 : m->type == MARK_TYPE__FILESYSTEM ? FAN_MARK_FILESYSTEM
									    : 0);
	uint32_t ignore = m->mflags & (FAN_MARK_IGNORE | FAN_MARK_IGNORED_SURV_MODIFY);
	_cleanup_close_ int target = -1;
	char path[PATH_MAX];
	int err = find_path(plan, m, path, &target);

	if (err)
		return log_errno(-err, "fanotify 0x%x can't find what it watched", file->id);
	flags |= m->mflags & FAN_MARK_EVICTABLE;
	flags |= !is_mount(m) && watched_is_link(path) ? FAN_MARK_DONT_FOLLOW : 0;
	if (!(ignore & FAN_MARK_IGNORE))
		ignore |= FAN_MARK_IGNORED_MASK;
	if (m->mask && fanotify_mark(fd, flags, m->mask, AT_FDCWD, path))
		return log_errno(errno, "can't watch %s (mask 0x%x)", path, m->mask);
	if (m->ignored_mask && fanotify_mark(fd, flags | ignore, m->ignored_mask, AT_FDCWD, path))
		return log_errno(errno, "can't ignore events of %s (mask 0x%x)", path, m->ignored_mask);
	return 0;
}

/* The kernel lists the youngest mark first. */
static int fanotify_last(struct plan *plan, struct plan_file *file)
{
	const FanotifyFileEntry *e = file->entry->ffy;
	_cleanup_close_ int fd = -1;
	int err = watched_get_fd(plan, file, &fd);

	if (err || fd < 0)
		return err;
	for (size_t i = e->n_mark; i-- > 0 && !err;)
		err = add_mark(plan, file, fd, e->mark[i]);
	return err;
}

const struct restore_fd_kind restore_fd_fanotify = {
	.name = "fanotify",
	.type = FD_TYPES__FANOTIFY,
	.read = fanotify_read,
	.resolve = fanotify_resolve,
	.open = fanotify_open,
	.last = fanotify_last,
};
