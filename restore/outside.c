/*
 * Descriptors from outside (--inherit-fd). As with CRIU the tree shares the description that was given, with its
 * position and flags: nothing of these is changed. Pipes are opened once more instead (fd_pipe.c).
 */
#include "outside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "log.h"
#include "opts.h"
#include "plan.h"
#include "task.h"

int outside_add(struct plan *plan, int fd)
{
	int *fds = plan_alloc(plan, (plan->n_inherited + 1) * sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	if (plan->n_inherited)
		memcpy(fds, plan->inherited_fds, plan->n_inherited * sizeof(*fds));
	plan->inherited_fds = fds;
	fds[plan->n_inherited] = fd;
	plan->n_extra_fds++;
	return plan->n_inherited++;
}

/* A description for both directions will do for any. */
static bool fits(int given, uint32_t wanted)
{
	int mode = given & O_ACCMODE;

	return mode == O_RDWR || mode == (int)(wanted & O_ACCMODE);
}

int outside_find(struct plan *plan, struct plan_file *file, const char *key, mode_t type)
{
	const struct outside *given = opts_find_outside(plan->opts, key, true);
	struct stat st;

	if (!given)
		return 0;
	int flags = fcntl(given->fd, F_GETFL);
	if (flags < 0 || fstat(given->fd, &st)) {
		plan_refuse(plan, "--inherit-fd fd[%d]:%s: ckpt has no descriptor %d", given->fd, key, given->fd);
		return 0;
	}
	if (type && (st.st_mode & S_IFMT) != type)
		plan_refuse(plan, "--inherit-fd fd[%d]:%s: descriptor %d is no %s", given->fd, key, given->fd,
			    type == S_IFIFO ? "pipe" : "socket");
	else if (type != S_IFIFO && !fits(flags, file->flags))
		plan_refuse(plan,
			    "--inherit-fd fd[%d]:%s: descriptor %d is not open in the mode that the tree needs "
			    "(flags 0%o, 0%o are wanted)",
			    given->fd, key, given->fd, flags, file->flags);
	file->outside = outside_add(plan, given->fd);
	return file->outside < 0 ? file->outside : 0;
}

int outside_take(struct plan *plan, const struct plan_file *file)
{
	int fd = fcntl(plan->inherited_fds[file->outside], F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? log_errno(errno, "can't duplicate what --inherit-fd gives for file 0x%x", file->id)
		      : fd_to_temporary(plan, fd);
}
