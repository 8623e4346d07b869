/*
 * inotify(7): the descriptors are made like others; their watches are added by the coordinator when all else is done,
 * or they would see what the restore itself does. A watched file that was deleted is reached through a task that has
 * it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include "cleanup.h"
#include "log.h"
#include "plan.h"
#include "watched.h"

/* Which number the next watch gets: linux/inotify.h, 4.16; glibc's sys/inotify.h hides it. */
#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD _IOW('I', 0, int32_t)
#endif
#define MASK (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT | IN_ONLYDIR)

static int inotify_read(struct plan *plan, struct plan_file *file)
{
	const InotifyFileEntry *e = file->entry->ify;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind INOTIFY but has no inotify entry", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	return 0;
}

static int inotify_resolve(struct plan *plan, struct plan_file *file)
{
	const InotifyFileEntry *e = file->entry->ify;
	char path[PATH_MAX];

	for (size_t i = 0; i < e->n_wd; i++) {
		_cleanup_close_ int fd = -1;
		int err = plan->offline
				  ? 0
				  : watched_path(plan, e->wd[i]->s_dev, e->wd[i]->i_ino, e->wd[i]->f_handle, path, &fd);

		if (err)
			plan_refuse(plan, "inotify 0x%x watches %s, which can't be reached: %s", file->id,
				    e->wd[i]->f_handle->path ? e->wd[i]->f_handle->path : "a file without a name",
				    strerror(-err));
		if (!e->wd[i]->wd || e->wd[i]->wd > INT32_MAX - 1)
			plan_refuse(plan, "inotify 0x%x has a watch with the number %u: out of range", file->id,
				    e->wd[i]->wd);
	}
	return 0;
}

static int inotify_open(struct plan *plan, struct plan_file *file)
{
	return fd_take(plan, file, inotify_init1(IN_CLOEXEC));
}

static int add_watch(struct plan *plan, const struct plan_file *file, int fd, const InotifyWdEntry *w)
{
	_cleanup_close_ int target = -1;
	int32_t number = w->wd;
	char path[PATH_MAX];
	int err = watched_path(plan, w->s_dev, w->i_ino, w->f_handle, path, &target);

	if (err)
		return log_errno(-err, "inotify 0x%x can't find what it watched", file->id);
	if (ioctl(fd, INOTIFY_IOC_SETNEXTWD, number))
		return log_errno(errno, "can't choose the number %d of a watch (Linux 4.16)", number);
	int got = inotify_add_watch(fd, path, (w->mask & MASK) | (watched_is_link(path) ? IN_DONT_FOLLOW : 0));
	if (got != number)
		return log_errno(got < 0 ? errno : EEXIST, "can't watch %s with number %d", path, number);
	return 0;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = (*(InotifyWdEntry *const *)a)->wd, y = (*(InotifyWdEntry *const *)b)->wd;

	return x < y ? -1 : x > y;
}

/* New watches get numbers above all others: the kernel counts up. */
static int inotify_last(struct plan *plan, struct plan_file *file)
{
	const InotifyFileEntry *e = file->entry->ify;
	_cleanup_close_ int fd = -1;
	int err = watched_get_fd(plan, file, &fd);

	if (err || fd < 0)
		return err;
	qsort(e->wd, e->n_wd, sizeof(*e->wd), compare);
	for (size_t i = 0; i < e->n_wd && !err; i++)
		err = add_watch(plan, file, fd, e->wd[i]);
	return err;
}

const struct restore_fd_kind restore_fd_inotify = {
	.name = "inotify",
	.type = FD_TYPES__INOTIFY,
	.read = inotify_read,
	.resolve = inotify_resolve,
	.open = inotify_open,
	.last = inotify_last,
};
