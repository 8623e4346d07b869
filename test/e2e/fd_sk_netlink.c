/* Netlink sockets: one that is fresh, one in groups, one with a port and groups above 31, options; they still answer.
 */
#include "e2e.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

static int make(int protocol)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

	if (fd < 0)
		skip("no netlink protocol %d: %s", protocol, strerror(errno));
	return fd;
}

static void expect_address(int fd, uint32_t port, uint32_t groups)
{
	struct sockaddr_nl a = {};
	socklen_t len = sizeof(a);

	must(!getsockname(fd, (struct sockaddr *)&a, &len));
	same(a.nl_pid, port);
	same(a.nl_groups, groups);
}

/* Asks for the devices; the answer comes to this socket. */
static void ask(int fd)
{
	struct {
		struct nlmsghdr head;
		struct rtgenmsg message;
	} request = { { .nlmsg_len = sizeof(request),
			.nlmsg_type = RTM_GETLINK,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
			.nlmsg_seq = 42 } };
	char answer[16384];

	must(send(fd, &request, sizeof(request), 0) == sizeof(request));
	ssize_t n = recv(fd, answer, sizeof(answer), 0);
	must(n >= (ssize_t)sizeof(struct nlmsghdr));
	same(((struct nlmsghdr *)answer)->nlmsg_seq, 42);
	while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
		;
}

int main(int argc, char **argv)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_NOTIFY };
	struct sockaddr_nl b = { .nl_family = AF_NETLINK };
	struct timespec now;
	uint32_t groups[2] = {};
	socklen_t len = sizeof(groups);
	int high = RTNLGRP_MDB + 10, on = 1, value = 0;

	e2e_begin(argc, argv);
	clock_gettime(CLOCK_REALTIME, &now);
	b.nl_pid = 1000000 + now.tv_nsec; /* other runs of this share the network namespace */
	int fresh = make(NETLINK_ROUTE), grouped = make(NETLINK_ROUTE), ported = make(NETLINK_ROUTE);
	must(!bind(grouped, (struct sockaddr *)&a, sizeof(a)) && !bind(ported, (struct sockaddr *)&b, sizeof(b)));
	if (setsockopt(ported, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &high, sizeof(high)))
		high = 0;
	must(!setsockopt(ported, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)));
	len = sizeof(a);
	must(!getsockname(grouped, (struct sockaddr *)&a, &len) && a.nl_pid);

	e2e_wait();

	expect_address(fresh, 0, 0);
	ask(fresh);
	expect_address(grouped, a.nl_pid, RTMGRP_NOTIFY);
	ask(grouped);
	expect_address(ported, b.nl_pid, 0);
	ask(ported);
	len = sizeof(groups);
	must(!getsockopt(ported, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &len));
	must(!high || groups[(high - 1) / 32] == 1u << (high - 1) % 32);
	len = sizeof(value);
	must(!getsockopt(ported, SOL_NETLINK, NETLINK_EXT_ACK, &value, &len) && value == 1);
	return 0;
}
