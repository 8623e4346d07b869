/*
 * sock_diag(7) for single sockets, one request, one answer, and for all. The kernel needs CONFIG_UNIX_DIAG. libmnl
 * would do the framing, but Debian has it as a shared library only, and ckpt is linked statically for speed.
 */
#include "sock_diag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int sock_diag_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	return fd < 0 ? -errno : fd;
}

/* An attribute of the type must have at least the size. */
static int parse_attribute(const struct rtattr *a, struct unix_diag *diag)
{
	const void *data = RTA_DATA(a);
	size_t len = RTA_PAYLOAD(a);

	switch (a->rta_type) {
	case UNIX_DIAG_NAME:
		if (len > sizeof(diag->name))
			return -EBADMSG;
		memcpy(diag->name, data, len);
		diag->name_len = len;
		return 0;
	case UNIX_DIAG_PEER:
		if (len < sizeof(diag->peer))
			return -EBADMSG;
		memcpy(&diag->peer, data, sizeof(diag->peer));
		return 0;
	case UNIX_DIAG_ICONS:
		if (len > sizeof(diag->icons) || len % sizeof(diag->icons[0]))
			return -EBADMSG;
		memcpy(diag->icons, data, len);
		diag->n_icons = len / sizeof(diag->icons[0]);
		return 0;
	case UNIX_DIAG_RQLEN: {
		struct unix_diag_rqlen queues;

		if (len < sizeof(queues))
			return -EBADMSG;
		memcpy(&queues, data, sizeof(queues));
		diag->rqueue = queues.udiag_rqueue;
		diag->wqueue = queues.udiag_wqueue;
		return 0;
	}
	case UNIX_DIAG_SHUTDOWN:
		if (len < 1)
			return -EBADMSG;
		diag->shutdown = *(const uint8_t *)data;
		return 0;
	}
	return 0;
}

int sock_diag_parse_unix(const void *answer, size_t len, struct unix_diag *diag)
{
	const struct nlmsghdr *head = answer;
	const struct unix_diag_msg *msg = NLMSG_DATA(head);
	int err = 0;

	memset(diag, 0, offsetof(struct unix_diag, icons));
	if (len < sizeof(*head) || !NLMSG_OK(head, len))
		return -EBADMSG;
	if (head->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(head);

		return head->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error < 0 ? e->error : -EBADMSG;
	}
	if (head->nlmsg_type != SOCK_DIAG_BY_FAMILY || head->nlmsg_len < NLMSG_LENGTH(sizeof(*msg)) ||
	    msg->udiag_family != AF_UNIX)
		return -EBADMSG;
	diag->type = msg->udiag_type;
	diag->state = msg->udiag_state;
	diag->ino = msg->udiag_ino;
	int left = head->nlmsg_len - NLMSG_LENGTH(sizeof(*msg));
	for (const struct rtattr *a = (const void *)(msg + 1); !err && RTA_OK(a, left); a = RTA_NEXT(a, left))
		err = parse_attribute(a, diag);
	return err;
}

/* ino 0: all. Returns 0 or -errno. */
static int ask(int fd, uint32_t ino)
{
	struct {
		struct nlmsghdr head;
		struct unix_diag_req req;
	} question = {
		.head = { .nlmsg_len = sizeof(question),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST | (ino ? 0 : NLM_F_DUMP) },
		.req = {
			.sdiag_family = AF_UNIX,
			.udiag_states = ~0u,
			.udiag_ino = ino,
			.udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS | UDIAG_SHOW_RQLEN,
			.udiag_cookie = { ~0u, ~0u },
		},
	};

	return send(fd, &question, sizeof(question), 0) == sizeof(question) ? 0 : -errno;
}

int sock_diag_unix(int fd, uint32_t ino, struct unix_diag *diag)
{
	_Alignas(8) char answer[sizeof(diag->icons) + 4096];
	int err = ask(fd, ino);
	ssize_t n = err ? err : recv(fd, answer, sizeof(answer), 0);

	return err ? err : n < 0 ? -errno : sock_diag_parse_unix(answer, n, diag);
}

int sock_diag_unix_all(int fd, int (*fn)(const struct unix_diag *diag, void *arg), void *arg)
{
	_Alignas(8) char answers[32768];
	struct unix_diag diag;
	int err = ask(fd, 0);

	while (!err) {
		ssize_t n = recv(fd, answers, sizeof(answers), 0);

		if (n <= 0)
			return n ? -errno : -EBADMSG;
		for (const struct nlmsghdr *at = (const void *)answers; !err && NLMSG_OK(at, n);
		     at = NLMSG_NEXT(at, n)) {
			if (at->nlmsg_type == NLMSG_DONE)
				return 0;
			err = sock_diag_parse_unix(at, at->nlmsg_len, &diag);
			err = err ? err : fn(&diag, arg);
		}
	}
	return err;
}
