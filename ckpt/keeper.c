/*
 * The keeper of a tree: holds the userfaultfds by which its memory is tracked, from one dump to the next. It listens on
 * an abstract UNIX socket that has the root's pid and start time in its name; whoever connects with our user id gets
 * all and is the keeper then. It ends with the last task.
 */
#include "chain.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "fds.h"
#include "log.h"

/* One message for each task, then one with pid 0. */
struct kept {
	pid_t pid;
	uint64_t start_time;
	char last[RUN_ID];
};

static int root_start_time(pid_t root, uint64_t *start_time)
{
	_cleanup_close_ int proc = proc_open(root);
	struct proc_stat st;
	int err = proc < 0 ? proc : proc_stat(proc, "stat", &st);

	*start_time = err ? 0 : st.start_time;
	return err;
}

static socklen_t address(pid_t root, uint64_t start_time, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return offsetof(struct sockaddr_un, sun_path) + 1 +
	       snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "ckpt-keeper-%d-%lu", root, start_time);
}

/* Nobody else may see our userfaultfds, or make us believe in theirs. */
static bool is_ours(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) && peer.uid == geteuid();
}

static int send_one(int to, struct kept kept, int fd)
{
	return fds_send(to, &kept, sizeof(kept), &fd, fd >= 0);
}

/* Returns 1 with a descriptor in *fd, 0 at the end, or -errno. */
static int receive_one(int from, struct kept *kept, int *fd)
{
	_cleanup_close_ int got = -1;
	ssize_t n = fds_receive(from, kept, sizeof(*kept), &got, 1);

	if (n != sizeof(*kept))
		return n < 0 ? n : -EBADMSG;
	kept->last[RUN_ID - 1] = 0;
	if (!kept->pid)
		return 0;
	*fd = take_fd(&got);
	return *fd < 0 ? -EBADMSG : 1;
}

static int receive_all(int from, struct chain *chain)
{
	struct kept kept;
	int fd = -1, more;

	while ((more = receive_one(from, &kept, &fd)) > 0) {
		struct tracker t;
		int err = tracker_take(&t, kept.pid, kept.start_time, fd) ? 0 : chain_add(chain, t);

		if (err)
			return err;
	}
	if (!more)
		memcpy(chain->last, kept.last, RUN_ID);
	return more;
}

int keeper_take(pid_t root, struct chain *chain)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un a;
	uint64_t start_time;

	if (fd < 0 || root_start_time(root, &start_time))
		return 0;
	if (connect(fd, (struct sockaddr *)&a, address(root, start_time, &a)))
		return 0;
	if (!is_ours(fd))
		return log_errno(EPERM, "somebody else pretends to keep track of the memory of process %d", root);
	int err = receive_all(fd, chain);
	if (!err) /* until it is gone, and its name free */
		while (recv(fd, &a, sizeof(a), 0) < 0 && errno == EINTR)
			;
	return err ? log_errno(-err, "can't get what the keeper of process %d holds", root) : 0;
}

/* Gives all away to who has connected. Returns 0 when that one has it. */
static int give(int fd, const struct chain *chain)
{
	struct kept last = {};
	int err = is_ours(fd) ? 0 : -EPERM;

	for (size_t i = 0; i < chain->n && !err; i++) {
		const struct tracker *t = &chain->trackers[i];

		if (t->uffd < 0) /* it has ended */
			continue;
		err = send_one(fd, (struct kept){ .pid = t->pid, .start_time = t->start_time }, t->uffd);
	}
	memcpy(last.last, chain->last, RUN_ID);
	return err ? err : send_one(fd, last, -1);
}

static void __attribute__((noreturn)) keep(int listener, const struct chain *chain)
{
	_cleanup_free_ struct pollfd *fds = calloc(chain->n + 1, sizeof(*fds));

	if (!fds)
		_exit(1);
	fds[0] = (struct pollfd){ .fd = listener, .events = POLLIN };
	for (size_t i = 0; i < chain->n; i++)
		fds[i + 1] = (struct pollfd){ .fd = pidfd_open(chain->trackers[i].pid, 0), .events = POLLIN };
	for (;;) {
		size_t alive = 0;

		for (size_t i = 1; i <= chain->n; i++) {
			if (fds[i].fd >= 0 && fds[i].revents) {
				close(fds[i].fd);
				close(chain->trackers[i - 1].uffd);
				fds[i].fd = chain->trackers[i - 1].uffd = -1;
			}
			alive += fds[i].fd >= 0;
		}
		if (!alive)
			_exit(0);
		if (poll(fds, chain->n + 1, -1) < 0)
			continue;
		int fd = fds[0].revents ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
		if (fd >= 0 && !give(fd, chain)) {
			close(listener); /* first: the next keeper needs the name */
			_exit(0);
		}
		if (fd >= 0)
			close(fd);
	}
}

/* Keeps nothing open but what it keeps. */
static void drop_all_else(const struct chain *chain, int listener)
{
	int most = listener;

	for (size_t i = 0; i < chain->n; i++)
		most = chain->trackers[i].uffd > most ? chain->trackers[i].uffd : most;
	for (int fd = 0; fd <= most; fd++) {
		bool kept = fd == listener;

		for (size_t i = 0; i < chain->n && !kept; i++)
			kept = chain->trackers[i].uffd == fd;
		if (!kept)
			close(fd);
	}
	closefrom(most + 1);
}

int keeper_start(pid_t root, const struct chain *chain)
{
	_cleanup_close_ int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un a;
	uint64_t start_time;
	sigset_t all;

	int err = root_start_time(root, &start_time);
	if (err)
		return err;
	if (listener < 0 || bind(listener, (struct sockaddr *)&a, address(root, start_time, &a)) || listen(listener, 1))
		return -errno;
	pid_t pid = fork();
	if (pid)
		return pid < 0 ? -errno : 0;
	setsid();
	sigfillset(&all);
	sigprocmask(SIG_UNBLOCK, &all, NULL);
	drop_all_else(chain, listener);
	prctl(PR_SET_NAME, "ckpt-keeper");
	if (chdir("/"))
		_exit(1);
	keep(listener, chain);
}
