/* signalfd(2) with its mask. */
#include <errno.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "plan.h"

static int signalfd_read_entry(struct plan *plan, struct plan_file *file)
{
	const SignalfdEntry *e = file->entry->sgfd;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind SIGNALFD but has no signalfd entry", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	return 0;
}

static int signalfd_open(struct plan *plan, struct plan_file *file)
{
	uint64_t mask = file->entry->sgfd->sigmask;

	return fd_take(plan, file, syscall(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC));
}

const struct restore_fd_kind restore_fd_signalfd = {
	.name = "signalfd",
	.type = FD_TYPES__SIGNALFD,
	.read = signalfd_read_entry,
	.open = signalfd_open,
};
