/* TCP connections of page servers and their clients. Names are not looked up: addresses are numbers. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "opts.h"

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Makes the address of the options, or the one that stands for none. Returns its size, 0: it is none (logged). */
static socklen_t make_address(const struct opts *opts, const char *none, union address *to)
{
	const char *text = opts->address ?: none;

	*to = (union address){};
	if (inet_pton(AF_INET, text, &to->v4.sin_addr) == 1) {
		to->v4.sin_family = AF_INET;
		to->v4.sin_port = htons(opts->port);
		return sizeof(to->v4);
	}
	if (inet_pton(AF_INET6, text, &to->v6.sin6_addr) == 1) {
		to->v6.sin6_family = AF_INET6;
		to->v6.sin6_port = htons(opts->port);
		return sizeof(to->v6);
	}
	log_err("--address: \"%s\" is no IP address in numbers", text);
	return 0;
}

/* Messages are small, and someone waits for each. */
static void send_at_once(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int net_listen(const struct opts *opts, bool *connected)
{
	union address address;
	int on = 1;

	*connected = opts->ps_socket >= 0;
	if (*connected)
		return opts->ps_socket;
	socklen_t size = make_address(opts, "0.0.0.0", &address);
	if (!size)
		return -EINVAL;
	_cleanup_close_ int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return log_errno(errno, "can't make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, &address.any, size) || listen(fd, 1) || getsockname(fd, &address.any, &size))
		return log_errno(errno, "can't listen on %s, port %u", opts->address ?: "any address", opts->port);
	/* The port stands at the same place in both. */
	log_info("Starting page server on port %u", ntohs(address.v4.sin_port));
	return take_fd(&fd);
}

int net_accept(int listener)
{
	union address peer = {};
	socklen_t size = sizeof(peer);
	char text[INET6_ADDRSTRLEN] = "?";
	int fd;

	do
		fd = accept4(listener, &peer.any, &size, SOCK_CLOEXEC);
	while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return log_errno(errno, "can't accept a connection");
	inet_ntop(peer.any.sa_family,
		  peer.any.sa_family == AF_INET ? (void *)&peer.v4.sin_addr : (void *)&peer.v6.sin6_addr, text,
		  sizeof(text));
	log_info("Accepted connection from %s:%u", text, ntohs(peer.v4.sin_port));
	send_at_once(fd);
	return fd;
}

int net_connect(const struct opts *opts)
{
	union address address;

	if (opts->ps_socket >= 0)
		return opts->ps_socket;
	if (!opts->port) {
		log_err("--page-server needs to know where: --port PORT");
		return -EINVAL;
	}
	socklen_t size = make_address(opts, "127.0.0.1", &address);
	if (!size)
		return -EINVAL;
	_cleanup_close_ int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return log_errno(errno, "can't make a socket");
	if (connect(fd, &address.any, size))
		return log_errno(errno, "can't connect to the page server at %s, port %u", opts->address ?: "127.0.0.1",
				 opts->port);
	send_at_once(fd);
	return take_fd(&fd);
}

int net_send(int fd, const void *bytes, size_t len, bool more)
{
	const char *at = bytes;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL | (more ? MSG_MORE : 0));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return log_errno(errno, "the connection to the other side of the pages broke");
		at += n;
		len -= n;
	}
	return 0;
}

int net_receive(int fd, void *bytes, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = recv(fd, (char *)bytes + done, len - done, MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (!n && !done)
			return -ENODATA;
		if (n <= 0)
			return log_errno(n ? errno : ECONNRESET, "the connection to the other side of the pages broke");
		done += n;
	}
	return 0;
}

static int write_pidfile(const struct opts *opts)
{
	const char *dir = opts->work_dir ?: opts->images_dir;
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", getpid());

	_cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = openat(dir_fd, opts->pidfile, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, n) != n)
		return log_errno(errno, "can't write the pid file %s", opts->pidfile);
	return 0;
}

int net_tell_status(const struct opts *opts)
{
	if (opts->status_fd < 0)
		return 0;
	if (write(opts->status_fd, "", 1) != 1)
		return log_errno(errno, "can't write to --status-fd %d", opts->status_fd);
	close(opts->status_fd);
	return 0;
}

int net_tell_ready(const struct opts *opts)
{
	int err = opts->pidfile ? write_pidfile(opts) : 0;

	return err ? err : net_tell_status(opts);
}

int net_daemonize(const struct opts *opts)
{
	int log = log_fd();

	if (!opts->daemon)
		return 0;
	pid_t pid = fork();
	if (pid < 0)
		return log_errno(errno, "can't go to the background");
	if (pid)
		_exit(0);
	setsid();
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (log == STDERR_FILENO) { /* errors still go there */
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		return 0;
	}
	for (int fd = 0; fd <= 2; fd++)
		if (fd != log)
			dup2(null, fd);
	return 0;
}
