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

static const char *const names[NAMESPACES] = { "pid", "net", "ipc", "uts", "mnt", "user", "cgroup", "time" };

/* Where the links /proc/PID/ns lead; "" for kinds that the kernel does not have. */
static void read_links(int proc, char (*links)[NAMESPACE_LINK])
{
	char path[32];

	for (size_t i = 0; i < NAMESPACES; i++) {
		snprintf(path, sizeof(path), "ns/%s", names[i]);
		if (proc_link(proc, path, links[i], NAMESPACE_LINK))
			links[i][0] = 0;
	}
}

int namespaces_judge(struct dump_task *t)
{
	char its[NAMESPACES][NAMESPACE_LINK], reason[160];
	struct dump *d = t->dump;
	int err = 0;

	if (!d->namespaces_known) {
		_cleanup_close_ int self = proc_open(getpid());

		read_links(self, d->own_namespaces);
		d->namespaces_known = true;
	}
	read_links(t->proc, its);
	for (size_t i = 0; i < NAMESPACES && !err; i++) {
		if (!strcmp(d->own_namespaces[i], its[i]))
			continue;
		snprintf(reason, sizeof(reason), "it is in another %s namespace than ckpt, which is not supported yet",
			 names[i]);
		err = blocker_add(d, t->pid, "namespace", reason,
				  "run ckpt inside the container (nsenter -t PID -a), or the program outside of it",
				  "%s", its[i]);
	}
	return err;
}

static int judge_pair(struct dump_task *a, struct dump_task *b)
{
	static const struct {
		int type;
		const char *kind;
	} objects[] = {
		/* signal actions can be shared with the memory only */
		{ KCMP_VM, "memory" },
		{ KCMP_FILES, "descriptor table" },
		{ KCMP_FS, "working directory and umask" },
	};
	int err = 0;

	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]) && !err; i++) {
		if (syscall(SYS_kcmp, a->member, b->member, objects[i].type, 0, 0) != 0)
			continue;
		if (objects[i].type == KCMP_VM) /* two parasites in one address space would get into each other's way */
			a->untouchable = b->untouchable = true;
		err = blocker_add(
			a->dump, a->pid, "shared object", "sharing between processes by clone(2) is not supported yet",
			"none, but for threads, which are", "%s shared with task %d", objects[i].kind, b->pid);
	}
	return err;
}

/*
 * clone(2) shares with the parent, or with a sibling when it was given CLONE_PARENT; the kernel's order of
 * objects would find all other pairs too, but nothing but these is known to be made.
 */
int sharing_judge(struct dump_task *t)
{
	const struct dump *d = t->dump;
	struct dump_task *sibling = NULL;

	for (size_t i = 0; i < d->n_tasks && d->tasks[i] != t; i++)
		if (d->tasks[i]->parent == t->parent && d->tasks[i]->state != TASK_DEAD)
			sibling = d->tasks[i];
	int err = t->parent ? judge_pair(t, t->parent) : 0;
	return err || !sibling ? err : judge_pair(t, sibling);
}
