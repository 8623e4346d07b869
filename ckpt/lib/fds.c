/* Messages of one piece of data and a few descriptors. */
#include "fds.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
	struct cmsghdr head;
	char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
};

int fds_send(int sock, const void *data, size_t len, const int *fds, size_t n)
{
	struct iovec iov = { (void *)data, len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	union control control = {};
	ssize_t sent;

	if (n > FDS_MAX)
		return -EINVAL;
	if (n) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.head = (struct cmsghdr){ CMSG_LEN(n * sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), fds, n * sizeof(int));
	}
	do
		sent = sendmsg(sock, &m, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? -errno : (size_t)sent == len ? 0 : -EMSGSIZE;
}

ssize_t fds_receive(int sock, void *data, size_t len, int *fds, size_t n)
{
	struct iovec iov = { data, len };
	union control control = {};
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(n * sizeof(int))
	};
	size_t came = 0;
	ssize_t got;

	for (size_t i = 0; i < n; i++)
		fds[i] = -1;
	if (n > FDS_MAX)
		return -EINVAL;
	do
		got = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (m.msg_controllen >= sizeof(control.head) && control.head.cmsg_level == SOL_SOCKET &&
	    control.head.cmsg_type == SCM_RIGHTS)
		came = (control.head.cmsg_len - CMSG_LEN(0)) / sizeof(int);
	if (came <= n && !(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		memcpy(fds, CMSG_DATA(&control.head), came * sizeof(int));
		return got;
	}
	for (size_t i = 0; i < came; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(&control.head) + i * sizeof(int), sizeof(fd));
		close(fd);
	}
	return m.msg_flags & MSG_CTRUNC && came < n ? -EMFILE : -EBADMSG;
}
