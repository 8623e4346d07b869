/*
 * Descriptors of namespaces (/proc/PID/ns/NAME): of those that the tree is in, which are ckpt's own.
 * Does not handle (judged): other namespaces.
 */
#include <errno.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "dump.h"
#include "ns.pb-c.h"

static const struct {
	const char *name;
	uint32_t id, flag; /* in ids-PID.img (write_images.c); CLONE_NEW* */
} kinds[] = {
	{ "pid", IDS_PID_NS, CLONE_NEWPID },	{ "net", IDS_NET_NS, CLONE_NEWNET },
	{ "ipc", IDS_IPC_NS, CLONE_NEWIPC },	{ "uts", IDS_UTS_NS, CLONE_NEWUTS },
	{ "time", IDS_TIME_NS, 0x80 },		{ "mnt", IDS_MNT_NS, CLONE_NEWNS },
	{ "user", IDS_USER_NS, CLONE_NEWUSER }, { "cgroup", IDS_CGROUP_NS, CLONE_NEWCGROUP },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static size_t find(const char *link)
{
	size_t i = 0;

	while (i < KINDS &&
	       (strncmp(link, kinds[i].name, strlen(kinds[i].name)) || strncmp(link + strlen(kinds[i].name), ":[", 2)))
		i++;
	return i;
}

static bool match(const struct fd_info *info)
{
	struct statfs fs;

	return find(info->link) < KINDS && !fstatfs(info->fd, &fs) && fs.f_type == NSFS_MAGIC;
}

static int judge_ns(struct dump *d, const struct dump_file *f)
{
	char path[32], own[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[find(f->link)].name);
	ssize_t n = readlink(path, own, sizeof(own) - 1);
	own[n > 0 ? n : 0] = 0;
	if (!strcmp(own, f->link))
		return 0;
	return blocker_add(d, f->pid, "namespace", "it refers to a namespace that the tree is not in",
			   "close it before the dump", "%s, %s", f->where, f->link);
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	NsFileEntry *ns = arena_get(arena, sizeof(*ns));

	if (!ns)
		return -ENOMEM;
	ns_file_entry__init(ns);
	ns->id = f->id;
	ns->ns_id = kinds[find(f->link)].id;
	ns->ns_cflag = kinds[find(f->link)].flag;
	ns->flags = f->flags;
	e->nsf = ns;
	return 0;
}

const struct dump_fd_kind dump_fd_ns = {
	.name = "namespace",
	.type = FD_TYPES__NS,
	.match = match,
	.judge = judge_ns,
	.fill = fill,
};
