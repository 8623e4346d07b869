/* Descriptors of namespaces: of those that the restored tree is in, which are ours. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

#include "log.h"
#include "plan.h"

/* The name in /proc/PID/ns, and the number that the tree's own has; NULL: unknown. */
static const char *kind_of(const struct plan *plan, uint32_t flag, uint32_t *id)
{
	const TaskKobjIdsEntry *ids = plan->inventory->root_ids;

	switch (flag) {
	case CLONE_NEWPID:
		*id = ids->pid_ns_id;
		return "pid";
	case CLONE_NEWNET:
		*id = ids->net_ns_id;
		return "net";
	case CLONE_NEWIPC:
		*id = ids->ipc_ns_id;
		return "ipc";
	case CLONE_NEWUTS:
		*id = ids->uts_ns_id;
		return "uts";
	case CLONE_NEWNS:
		*id = ids->mnt_ns_id;
		return "mnt";
	case CLONE_NEWUSER:
		*id = ids->user_ns_id;
		return "user";
	case CLONE_NEWCGROUP:
		*id = ids->cgroup_ns_id;
		return "cgroup";
	case 0x80: /* CLONE_NEWTIME */
		*id = ids->time_ns_id;
		return "time";
	}
	return NULL;
}

static int ns_read(struct plan *plan, struct plan_file *file)
{
	const NsFileEntry *e = file->entry->nsf;
	uint32_t id = 0;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind NS but has no ns entry", file->id);
		return -EBADMSG;
	}
	if (!kind_of(plan, e->ns_cflag, &id) || id != e->ns_id)
		plan_refuse(plan,
			    "files.img: file 0x%x refers to namespace %u of the kind 0x%x, which is not the tree's: "
			    "not supported yet",
			    file->id, e->ns_id, e->ns_cflag);
	file->flags = e->flags;
	return 0;
}

static int ns_open(struct plan *plan, struct plan_file *file)
{
	const NsFileEntry *e = file->entry->nsf;
	char path[32];
	uint32_t id;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", kind_of(plan, e->ns_cflag, &id));
	return fd_take(plan, file, open(path, (file->flags & O_ACCMODE) | O_CLOEXEC));
}

const struct restore_fd_kind restore_fd_ns = {
	.name = "namespace",
	.type = FD_TYPES__NS,
	.read = ns_read,
	.open = ns_open,
};
