/*
 * Netlink sockets (man 7 netlink): address, groups, peer, options. Messages that wait are refused: they would tell of
 * a time that is over.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dump.h"
#include "log.h"
#include "sk-netlink.pb-c.h"
#include "sk_opts.h"

struct netlink_state {
	int type, protocol;
	bool waiting; /* messages that nobody has read */
	uint32_t ino, portid, dst_portid, dst_group, options;
	size_t n_groups;
	uint32_t groups[NETLINK_GROUP_WORDS];
	SkOptsEntry opts;
	bool bpf; /* filters its packets */
};

static int get(int fd, int level, int option)
{
	int value = 0;
	socklen_t size = sizeof(value);

	return getsockopt(fd, level, option, &value, &size) ? -1 : value;
}

static bool match(const struct fd_info *info)
{
	return S_ISSOCK(info->st.st_mode) && info->number >= 0 && !(info->flags & O_PATH) &&
	       get(info->fd, SOL_SOCKET, SO_DOMAIN) == AF_NETLINK;
}

static int read_addresses(struct netlink_state *n, int fd)
{
	struct sockaddr_nl a = {};
	socklen_t size = sizeof(a);

	if (getsockname(fd, (struct sockaddr *)&a, &size))
		return -errno;
	n->portid = a.nl_pid;
	n->groups[0] = a.nl_groups;
	size = sizeof(a);
	if (getpeername(fd, (struct sockaddr *)&a, &size))
		return -errno;
	n->dst_portid = a.nl_pid;
	n->dst_group = a.nl_groups;
	size = sizeof(n->groups);
	if (!getsockopt(fd, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, n->groups, &size))
		n->n_groups = size < sizeof(n->groups) ? size / 4 : NETLINK_GROUP_WORDS;
	else
		n->n_groups = 1;
	while (n->n_groups && !n->groups[n->n_groups - 1])
		n->n_groups--;
	return 0;
}

static void read_options(struct netlink_state *n, int fd)
{
	static const int options[] = { NETLINK_PKTINFO,		NETLINK_BROADCAST_ERROR, NETLINK_NO_ENOBUFS,
				       NETLINK_LISTEN_ALL_NSID, NETLINK_CAP_ACK,	 NETLINK_EXT_ACK,
				       NETLINK_GET_STRICT_CHK };

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (get(fd, SOL_NETLINK, options[i]) > 0)
			n->options |= 1u << options[i];
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct netlink_state *n = calloc(1, sizeof(*n));
	struct pollfd p = { .fd = info->fd, .events = POLLIN };

	f->data = n;
	if (!n)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	n->ino = f->st.st_ino;
	n->type = get(info->fd, SOL_SOCKET, SO_TYPE);
	n->protocol = get(info->fd, SOL_SOCKET, SO_PROTOCOL);
	n->waiting = poll(&p, 1, 0) > 0 && p.revents & POLLIN;
	int err = read_addresses(n, info->fd);
	if (!err)
		err = sk_opts_get(info->fd, &n->opts, &n->bpf);
	read_options(n, info->fd);
	return err ? log_errno(-err, "can't look at the netlink socket of %s of task %d", f->where, f->pid) : 0;
}

static int judge_netlink(struct dump *d, const struct dump_file *f)
{
	const struct netlink_state *n = f->data;
	int err = n->bpf ? sk_opts_refuse_bpf(d, f) : 0;

	if (err)
		return err;
	return n->waiting ? blocker_add(d, f->pid, "netlink socket", "messages wait in it that nobody has read",
					"try again when the program has read them", "%s", f->where)
			  : 0;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *file, struct arena *arena)
{
	const struct netlink_state *n = f->data;
	NetlinkSkEntry *e = arena_get(arena, sizeof(*e));

	if (!e)
		return -ENOMEM;
	netlink_sk_entry__init(e);
	e->id = f->id;
	e->ino = n->ino;
	e->protocol = n->protocol;
	e->state = n->dst_portid || n->dst_group ? STATE_ESTABLISHED : n->portid ? STATE_CLOSE : STATE_UNBOUND;
	e->flags = f->flags;
	e->portid = n->portid;
	e->n_groups = n->n_groups;
	e->groups = (uint32_t *)n->groups;
	e->dst_portid = n->dst_portid;
	e->dst_group = n->dst_group;
	e->fown = (FownEntry *)&f->fown;
	e->opts = (SkOptsEntry *)&n->opts;
	e->has_ns_id = true;
	e->ns_id = IDS_NET_NS;
	e->has_options = e->has_type = true;
	e->options = n->options;
	e->type = n->type;
	file->nlsk = e;
	return 0;
}

static void forget(void *data)
{
	struct netlink_state *n = data;

	if (n)
		free(n->opts.so_filter);
}

const struct dump_fd_kind dump_fd_sk_netlink = {
	.name = "netlink socket",
	.type = FD_TYPES__NETLINKSK,
	.match = match,
	.collect = collect,
	.judge = judge_netlink,
	.fill = fill,
	.forget = forget,
};
