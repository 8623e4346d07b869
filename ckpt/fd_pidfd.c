/*
 * pidfds (man 2 pidfd_open): of tasks of the tree, living or dead, and of processes that were reaped already, of which
 * only that is left. Which of the latter are the same process tells the inode, since Linux 6.9.
 *
 * Does not handle (judged): pidfds of processes outside the tree, and of threads other than main threads.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "kernel_abi.h"
#include "log.h"
#include "pidfd.pb-c.h"
#include "proc_fdinfo.h"

struct pidfd_state {
	pid_t pid; /* -1: reaped */
};

static bool match(const struct fd_info *info)
{
	return !strcmp(info->link, "anon_inode:[pidfd]");
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct pidfd_state *state = calloc(1, sizeof(*state));

	if (!state)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	f->data = state;
	int err = fdinfo_parse_pidfd(info->text, &state->pid);
	return err ? log_errno(-err, "fdinfo of %s of task %d, a pidfd", f->where, f->pid) : 0;
}

static int judge_pidfd(struct dump *d, const struct dump_file *f)
{
	const struct pidfd_state *state = f->data;
	char reason[96];

	if (state->pid == -1 || dump_task_by_pid(d, state->pid))
		return 0;
	for (size_t i = 0; i < d->n_threads; i++)
		if (d->threads[i]->tid == state->pid) {
			snprintf(reason, sizeof(reason), "it refers to thread %d of task %d, not to a process",
				 state->pid, d->threads[i]->task->pid);
			return blocker_add(d, f->pid, "pidfd", reason, "close it before the dump", "%s", f->where);
		}
	if (state->pid)
		snprintf(reason, sizeof(reason), "it refers to process %d, which is outside the tree", state->pid);
	else
		snprintf(reason, sizeof(reason), "it refers to a process of another PID namespace");
	return blocker_add(d, f->pid, "pidfd", reason, "dump from a common ancestor on, or close it before the dump",
			   "%s", f->where);
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	PidfdEntry *p = arena_get(arena, sizeof(*p));

	if (!p)
		return -ENOMEM;
	pidfd_entry__init(p);
	p->id = f->id;
	p->ino = f->st.st_ino;
	p->flags = f->flags & (O_NONBLOCK | PIDFD_THREAD);
	p->nspid = ((const struct pidfd_state *)f->data)->pid;
	p->fown = (FownEntry *)&f->fown;
	e->pidfd = p;
	return 0;
}

const struct dump_fd_kind dump_fd_pidfd = {
	.name = "pidfd",
	.type = FD_TYPES__PIDFD,
	.match = match,
	.collect = collect,
	.judge = judge_pidfd,
	.fill = fill,
};
