/* eventfd(2): the counter. Semaphore mode is told by kernels from 6.6 on; before, it is taken for off. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "eventfd.pb-c.h"
#include "fd_seen.h"
#include "log.h"
#include "proc_fdinfo.h"

static bool match(const struct fd_info *info)
{
	return !strcmp(info->link, "anon_inode:[eventfd]");
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct fdinfo_eventfd *e = calloc(1, sizeof(*e));

	f->data = e;
	if (!e)
		return log_errno(ENOMEM, "fd %d of task %d", f->number, f->pid);
	if (info->seen) {
		*e = (struct fdinfo_eventfd){ info->seen->eventfd.count, info->seen->eventfd.semaphore, true };
		return 0;
	}
	if (fdinfo_parse_eventfd(info->text, e))
		return log_errno(EBADMSG, "fdinfo of fd %d of task %d, an eventfd", f->number, f->pid);
	if (!e->mode_known)
		log_warn("fd %d of task %d, an eventfd: before Linux 6.6, nobody can see whether it is a semaphore "
			 "(EFD_SEMAPHORE); if so, it will not be one after a restore",
			 f->number, f->pid);
	return 0;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	const struct fdinfo_eventfd *now = f->data;
	EventfdFileEntry *to = arena_get(arena, sizeof(*to));

	if (!to)
		return -ENOMEM;
	eventfd_file_entry__init(to);
	to->id = f->id;
	to->flags = f->flags;
	to->fown = (FownEntry *)&f->fown;
	to->counter = now->count;
	to->has_semaphore = now->semaphore;
	to->semaphore = now->semaphore;
	e->efd = to;
	return 0;
}

const struct dump_fd_kind dump_fd_eventfd = {
	.name = "eventfd",
	.type = FD_TYPES__EVENTFD,
	.match = match,
	.collect = collect,
	.fill = fill,
};
