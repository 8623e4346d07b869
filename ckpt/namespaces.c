/*
 * Namespaces of the tree. Does not handle any other than those of ckpt itself: a task in another one is a
 * blocker. Also tasks that share with another task what a fork gives to each (CLONE_VM, CLONE_FILES, ...).
 */
#include <errno.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"

int namespaces_judge(struct dump_task *t)
{
	static const char *const names[] = { "pid", "net", "ipc", "uts", "mnt", "user", "cgroup", "time" };
	_cleanup_close_ int self = proc_open(getpid());
	char path[32], mine[64], its[64], reason[160];
	int err = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !err; i++) {
		snprintf(path, sizeof(path), "ns/%s", names[i]);
		/* a kernel without this kind of namespace has no such link */
		if (proc_link(self, path, mine, sizeof(mine)) || proc_link(t->proc, path, its, sizeof(its)) ||
		    !strcmp(mine, its))
			continue;
		snprintf(reason, sizeof(reason), "it is in another %s namespace than ckpt, which is not supported yet",
			 names[i]);
		err = blocker_add(t->dump, t->pid, "namespace", reason,
				  "run ckpt inside the container (nsenter -t PID -a), or the program outside of it",
				  "%s", its);
	}
	return err;
}

static int judge_pair(struct dump_task *a, const struct dump_task *b)
{
	static const struct {
		int type;
		const char *kind;
	} objects[] = {
		{ KCMP_VM, "memory" },
		{ KCMP_FILES, "descriptor table" },
		{ KCMP_FS, "working directory and umask" },
		{ KCMP_SIGHAND, "signal actions" },
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]) && !err; i++)
		if (syscall(SYS_kcmp, a->pid, b->pid, objects[i].type, 0, 0) == 0)
			err = blocker_add(a->dump, a->pid, "shared object",
					  "sharing between processes by clone(2) is not supported yet",
					  "none, but for threads, which are", "%s shared with task %d", objects[i].kind,
					  b->pid);
	return err;
}

/*
 * clone(2) shares with the parent, or with a sibling when it was given CLONE_PARENT; the kernel's order of
 * objects would find all other pairs too, but nothing but these is known to be made.
 */
int sharing_judge(struct dump_task *t)
{
	const struct dump *d = t->dump;
	const struct dump_task *sibling = NULL;

	for (size_t i = 0; i < d->n_tasks && d->tasks[i] != t; i++)
		if (d->tasks[i]->parent == t->parent && d->tasks[i]->state != TASK_DEAD)
			sibling = d->tasks[i];
	int err = t->parent ? judge_pair(t, t->parent) : 0;
	return err || !sibling ? err : judge_pair(t, sibling);
}
