/* Netlink sockets: bound to their old port and groups. */
#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include "log.h"
#include "plan.h"
#include "sk_opts.h"

static int netlink_read(struct plan *plan, struct plan_file *file)
{
	const NetlinkSkEntry *e = file->entry->nlsk;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind NETLINKSK but has no entry of that", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	if (e->n_groups > NETLINK_GROUP_WORDS || e->protocol > INT32_MAX ||
	    (e->has_type && e->type != SOCK_RAW && e->type != SOCK_DGRAM))
		plan_refuse(plan, "files.img: protocol, type or groups of netlink socket 0x%x are out of range",
			    file->id);
	sk_opts_check(plan, file, e->opts);
	return 0;
}

static int set(const struct plan_file *file, int option, int value)
{
	if (!setsockopt(file->fd, SOL_NETLINK, option, &value, sizeof(value)))
		return 0;
	return log_errno(errno, "can't set option %d of netlink socket 0x%x to %d", option, file->id, value);
}

static int bind_socket(const struct plan_file *file, const NetlinkSkEntry *e)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK,
				 .nl_pid = e->portid,
				 .nl_groups = e->n_groups ? e->groups[0] : 0 };
	int err = 0;

	if (bind(file->fd, (struct sockaddr *)&a, sizeof(a)))
		return log_errno(errno, "can't bind netlink socket 0x%x to port %u%s", file->id, e->portid,
				 errno == EADDRINUSE ? ": another process has it" : "");
	for (size_t i = 32; !err && i < 32 * e->n_groups; i++)
		if (e->groups[i / 32] >> i % 32 & 1)
			err = set(file, NETLINK_ADD_MEMBERSHIP, i + 1);
	return err;
}

static int netlink_open(struct plan *plan, struct plan_file *file)
{
	const NetlinkSkEntry *e = file->entry->nlsk;
	struct sockaddr_nl peer = { .nl_family = AF_NETLINK, .nl_pid = e->dst_portid, .nl_groups = e->dst_group };
	int err =
		fd_take(plan, file, socket(AF_NETLINK, (e->has_type ? e->type : SOCK_RAW) | SOCK_CLOEXEC, e->protocol));

	if (!err && (e->portid || e->n_groups))
		err = bind_socket(file, e);
	if (!err && (e->dst_portid || e->dst_group) && connect(file->fd, (struct sockaddr *)&peer, sizeof(peer)))
		err = log_errno(errno, "can't connect netlink socket 0x%x", file->id);
	for (int option = 0; !err && e->has_options && option < 32; option++)
		if (e->options >> option & 1)
			err = set(file, option, 1);
	return err ? err : sk_opts_set(file, e->opts, NULL);
}

const struct restore_fd_kind restore_fd_sk_netlink = {
	.name = "netlink socket",
	.type = FD_TYPES__NETLINKSK,
	.read = netlink_read,
	.open = netlink_open,
};
