/*
 * Which descriptors all tasks of the tree have, from a BPF iterator: most of those of many processes lead to what the
 * first of them has open, and that is all that is to be known of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "array.h"
#include "fd_look.h"
#include "kernel_look.h"
#include "log.h"

enum { PID, TGID, FD, ADDRESS, LOCKS, CLOEXEC, VALUES };

static const char *const paths[] = {
	[PID] = LOOK_PID,
	[TGID] = LOOK_TGID,
	[FD] = "fd",
	[ADDRESS] = "file",
	[LOCKS] = "file.f_inode.i_flctx", /* made by the first lock, and kept */
	[CLOEXEC] = "task.files.fdt.close_on_exec[fd]",
	[VALUES] = NULL,
};

static int take(void *look, const uint64_t *values)
{
	struct dump_task *t = look_task(look, values[PID]);

	if (!t || t->n_told_fds == FDS_MANY) /* then they are looked at in another way */
		return 0;
	if (array_grow(&t->told_fds, t->n_told_fds, sizeof(*t->told_fds)))
		return log_errno(ENOMEM, "descriptors of task %d", t->pid);
	t->told_fds[t->n_told_fds++] = (struct fd_told){
		.number = values[FD], .locked = values[LOCKS], .cloexec = values[CLOEXEC], .address = values[ADDRESS]
	};
	return 0;
}

int fds_look(struct dump *d, const struct bpf_types *types, const struct number_paths *numbers)
{
	static const struct look_kind kind = { "descriptors", "task_file", paths, take, fds_forget_told };

	return look_at_tasks(d, types, numbers, &kind);
}

void fds_forget_told(struct dump *d)
{
	for (size_t i = 0; i < d->n_tasks; i++) {
		free(d->tasks[i]->told_fds);
		d->tasks[i]->told_fds = NULL;
		d->tasks[i]->n_told_fds = 0;
	}
}
