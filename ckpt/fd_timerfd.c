/* timerfd_create(2): clock, what is left, interval, expirations that nobody has read. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"
#include "proc_fdinfo.h"
#include "timerfd.pb-c.h"

static bool match(const struct fd_info *info)
{
	return !strcmp(info->link, "anon_inode:[timerfd]");
}

/*
 * A periodic timer that has expired stands still until somebody looks (fs/timerfd.c), and fdinfo does not: nothing
 * seems to be left. timerfd_gettime(2) makes it count the periods since and go on, as a read would, but leaves its
 * expirations to be read.
 */
static int wake_periodic(const struct fd_info *info, struct fdinfo_timerfd *t)
{
	_cleanup_free_ char *text = NULL;
	struct itimerspec now;
	char path[64];

	if (!t->ticks || t->value_sec || t->value_nsec || (!t->interval_sec && !t->interval_nsec))
		return 0;
	if (timerfd_gettime(info->fd, &now))
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", info->fd);
	int err = proc_read(AT_FDCWD, path, &text, NULL);
	return err ? err : fdinfo_parse_timerfd(text, t);
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct fdinfo_timerfd *t = calloc(1, sizeof(*t));

	f->data = t;
	if (!t)
		return log_errno(ENOMEM, "fd %d of task %d", f->number, f->pid);
	int err = fdinfo_parse_timerfd(info->text, t);
	if (!err)
		err = wake_periodic(info, t);
	return err ? log_errno(-err, "can't look at fd %d of task %d, a timerfd", f->number, f->pid) : 0;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	const struct fdinfo_timerfd *t = f->data;
	TimerfdEntry *to = arena_get(arena, sizeof(*to));

	if (!to)
		return -ENOMEM;
	timerfd_entry__init(to);
	to->id = f->id;
	to->flags = f->flags;
	to->fown = (FownEntry *)&f->fown;
	to->clockid = t->clock;
	to->ticks = t->ticks;
	to->settime_flags = t->flags;
	to->vsec = t->value_sec;
	to->vnsec = t->value_nsec;
	to->isec = t->interval_sec;
	to->insec = t->interval_nsec;
	e->tfd = to;
	return 0;
}

const struct dump_fd_kind dump_fd_timerfd = {
	.name = "timerfd",
	.type = FD_TYPES__TIMERFD,
	.match = match,
	.collect = collect,
	.fill = fill,
};
