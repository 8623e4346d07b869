/*
 * Namespaces of the tree. Does not handle any other than those of ckpt itself: a task in another one is a
 * blocker.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"

#define INIT_PID_NS 0xEFFFFFFCu /* the inode of the first PID namespace */

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

void namespaces_own(struct dump *d)
{
	_cleanup_close_ int self = d->namespaces_known ? -1 : proc_open(getpid());

	if (!d->namespaces_known)
		read_links(self, d->own_namespaces);
	d->namespaces_known = true;
}

bool in_first_pid_namespace(void)
{
	struct stat ns;

	return !stat("/proc/self/ns/pid", &ns) && ns.st_ino == INIT_PID_NS;
}

void namespaces_collect(struct dump_task *t)
{
	if (!t->namespaces_known)
		read_links(t->proc, t->namespaces);
	t->namespaces_known = true;
}

int namespaces_judge(struct dump_task *t)
{
	struct dump *d = t->dump;
	char reason[160];
	int err = 0;

	namespaces_own(d);
	for (size_t i = 0; i < NAMESPACES && !err; i++) {
		if (!strcmp(d->own_namespaces[i], t->namespaces[i]))
			continue;
		snprintf(reason, sizeof(reason), "it is in another %s namespace than ckpt, which is not supported yet",
			 names[i]);
		err = blocker_add(d, t->pid, "namespace", reason,
				  "run ckpt inside the container (nsenter -t PID -a), or the program outside of it",
				  "%s", t->namespaces[i]);
	}
	return err;
}
