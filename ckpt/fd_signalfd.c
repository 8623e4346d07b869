/* signalfd(2): the mask. The signals themselves are those of the task that reads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "log.h"
#include "proc_fdinfo.h"
#include "signalfd.pb-c.h"

static bool match(const struct fd_info *info)
{
	return !strcmp(info->link, "anon_inode:[signalfd]");
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	uint64_t *mask = calloc(1, sizeof(*mask));

	f->data = mask;
	if (!mask)
		return log_errno(ENOMEM, "fd %d of task %d", f->number, f->pid);
	return fdinfo_parse_signalfd(info->text, mask)
		       ? log_errno(EBADMSG, "fdinfo of fd %d of task %d, a signalfd", f->number, f->pid)
		       : 0;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	SignalfdEntry *to = arena_get(arena, sizeof(*to));

	if (!to)
		return -ENOMEM;
	signalfd_entry__init(to);
	to->id = f->id;
	to->flags = f->flags;
	to->fown = (FownEntry *)&f->fown;
	to->sigmask = *(const uint64_t *)f->data;
	e->sgfd = to;
	return 0;
}

const struct dump_fd_kind dump_fd_signalfd = {
	.name = "signalfd",
	.type = FD_TYPES__SIGNALFD,
	.match = match,
	.collect = collect,
	.fill = fill,
};
