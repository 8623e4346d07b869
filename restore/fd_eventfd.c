/* eventfd(2) with its counter. */
#include <errno.h>
#include <sys/eventfd.h>

#include "log.h"
#include "plan.h"

static int eventfd_read_entry(struct plan *plan, struct plan_file *file)
{
	const EventfdFileEntry *e = file->entry->efd;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind EVENTFD but has no eventfd entry", file->id);
		return -EBADMSG;
	}
	if (e->counter == UINT64_MAX)
		plan_refuse(plan, "files.img: the counter of eventfd 0x%x is out of range", file->id);
	file->flags = e->flags;
	file->fown = e->fown;
	return 0;
}

static int eventfd_open(struct plan *plan, struct plan_file *file)
{
	const EventfdFileEntry *e = file->entry->efd;
	int nonblock = file->flags & EFD_NONBLOCK;
	unsigned int first = e->counter <= UINT32_MAX ? e->counter : 0; /* what it can be made with */
	int fd = eventfd(first,
			 fd_cloexec(file, NULL) | nonblock | (e->has_semaphore && e->semaphore ? EFD_SEMAPHORE : 0));
	int err = fd_take_made(plan, file, fd, nonblock);

	if (err)
		return err;
	if (e->counter != first && eventfd_write(file->fd, e->counter))
		return log_errno(errno, "can't set the counter of eventfd 0x%x", file->id);
	return 0;
}

const struct restore_fd_kind restore_fd_eventfd = {
	.name = "eventfd",
	.type = FD_TYPES__EVENTFD,
	.read = eventfd_read_entry,
	.open = eventfd_open,
};
