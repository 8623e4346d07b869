/* Sockets by BPF iterators: names of members as in Linux 6.1 to 6.18. */
#include "sk_seen.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "array.h"
#include "bpf_iter.h"
#include "cleanup.h"
#include "fd_seen.h"
#include "image_consts.h"
#include "kernel_abi.h"

#define NEAR 64 /* sockets that are seldom alike are not worth a long search */

enum value {
	FD,
	FAMILY,
	STATE,
	TYPE,
	SHUTDOWN,
	UNREAD,
	UNSENT,
	NAME,
	PEER,
	OPTIONS,
	VALUES = OPTIONS + SK_OPTION_VALUES
};

#define FILTER (OPTIONS + SK_OPTION_VALUES - 2)
#define PASSING (OPTIONS + SK_OPTION_VALUES - 1)

int sk_seen_load(struct bpf_iter *it, const struct bpf_types *types)
{
	const char *paths[VALUES + 1] = {
		[FD] = "fd",
		[FAMILY] = "socket.sk.__sk_common.skc_family",
		[STATE] = "socket.sk.__sk_common.skc_state",
		[TYPE] = "socket.sk.sk_type",
		[SHUTDOWN] = "socket.sk.sk_shutdown",
		[UNREAD] = "socket.sk.sk_receive_queue.qlen",
		[UNSENT] = "socket.sk.sk_wmem_alloc.refs.counter", /* bytes on their way, and one */
		/* of a UNIX socket only */
		[NAME] = "socket.sk(unix_sock).addr",
		[PEER] = "socket.sk(unix_sock).peer.sk_socket.file.f_inode.i_ino",
		[OPTIONS] = "socket.sk.sk_sndbuf",
		"socket.sk.sk_rcvbuf",
		"socket.sk.sk_sndtimeo",
		"socket.sk.sk_rcvtimeo",
		"socket.sk.__sk_common.skc_reuse",
		"socket.sk.__sk_common.skc_reuseport",
		"socket.sk.__sk_common.skc_flags",
		"socket.sk.sk_priority",
		"socket.sk.sk_rcvlowat",
		"socket.sk.sk_mark",
		"socket.sk.sk_no_check_tx",
		"socket.sk.sk_userlocks",
		"socket.sk.sk_peek_off",
		"socket.sk.sk_peer_pid",
		"socket.sk.sk_peer_cred",
		"socket.flags",
		[FILTER] = "socket.sk.sk_filter",
		[PASSING] = "socket.sk.sk_scm_recv_flags", /* SO_PASSCRED and such; since 6.16 */
	};
	int err = bpf_iter_load(it, types, "task_file", paths);

	if (err != -ENOENT)
		return err;
	paths[PASSING] = "socket.flags"; /* before */
	return bpf_iter_load(it, types, "task_file", paths);
}

static int take(void *arg, const uint64_t *values)
{
	struct fd_seen_list *seen = arg;

	if (array_grow(&seen->sockets, seen->n_sockets, sizeof(*seen->sockets)))
		return -ENOMEM;
	struct sk_seen *s = &seen->sockets[seen->n_sockets++];
	*s = (struct sk_seen){ .number = values[FD], .family = values[FAMILY], .type = values[TYPE] };
	s->peer = values[PEER];
	s->at_rest = s->family == AF_UNIX && values[STATE] == STATE_ESTABLISHED && !values[SHUTDOWN] &&
		     !values[UNREAD] && values[UNSENT] == 1 && !values[NAME] && !values[FILTER] && s->peer &&
		     s->type != SOCK_DGRAM;
	memcpy(s->values, values + OPTIONS, sizeof(s->values));
	return 0;
}

int sk_seen_read(const struct bpf_iter *it, pid_t tid, struct fd_seen_list *seen)
{
	return bpf_iter_read_thread(it, tid, take, seen);
}

struct sk_alike *sk_alike_find(struct sk_alike **all, const struct sk_seen *socket, bool *known)
{
	struct sk_alike *none = NULL, **at = all;

	for (size_t i = 0; *at && memcmp((*at)->values, socket->values, sizeof(socket->values)); i++)
		at = i < NEAR ? &(*at)->next : &none;
	struct sk_alike *found = *at;
	*known = found;
	if (!found) {
		found = calloc(1, sizeof(*found));
		if (!found)
			return NULL;
		memcpy(found->values, socket->values, sizeof(found->values));
	} else {
		*at = found->next;
	}
	found->next = *all; /* most are like the last one */
	*all = found;
	return found;
}

void sk_alike_free(struct sk_alike **all)
{
	for (struct sk_alike *at = take_ptr(*all), *next; at; at = next) {
		next = at->next;
		free(at);
	}
}

/* Each option, and a value that new sockets do not have. */
static const struct {
	int option, value;
} options[] = {
	{ SO_SNDBUF, 8192 },	 { SO_RCVBUF, 8192 }, { SO_REUSEADDR, 1 }, { SO_PRIORITY, 1 },	{ SO_RCVLOWAT, 7 },
	{ SO_MARK, 7 },		 { SO_PASSCRED, 1 },  { SO_PASSSEC, 1 },   { SO_DONTROUTE, 1 }, { SO_NO_CHECK, 1 },
	{ SO_REUSEPORT, 1 },	 { SO_BROADCAST, 1 }, { SO_KEEPALIVE, 1 }, { SO_OOBINLINE, 1 }, { SO_BUF_LOCK, 3 },
	{ SO_LOCK_FILTER, 1 },	 { SO_PASSPIDFD, 1 }, { SO_PEEK_OFF, 7 },  { SO_SNDTIMEO, 0 },	{ SO_RCVTIMEO, 0 },
	{ SO_ATTACH_FILTER, 0 },
};
#define TRIED (sizeof(options) / sizeof(options[0]))

static int set(int fd, int option, int value)
{
	struct timeval second = { .tv_sec = 1 };
	struct sock_filter all = { BPF_RET | BPF_K, 0, 0, -1 };
	struct sock_fprog filter = { 1, &all };

	if (option == SO_SNDTIMEO || option == SO_RCVTIMEO)
		return setsockopt(fd, SOL_SOCKET, option, &second, sizeof(second));
	if (option == SO_ATTACH_FILTER)
		return setsockopt(fd, SOL_SOCKET, option, &filter, sizeof(filter));
	return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
}

static const struct sk_seen *find(const struct fd_seen_list *seen, int fd)
{
	for (size_t i = 0; i < seen->n_sockets; i++)
		if (seen->sockets[i].number == fd)
			return &seen->sockets[i];
	return NULL;
}

bool sk_seen_check(const struct bpf_iter *it)
{
	int fresh = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fds[TRIED];
	struct fd_seen_list seen = {};
	bool set_one[TRIED];

	for (size_t i = 0; i < TRIED; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		/* one that UNIX sockets do not have, or not in this kernel, needs not show */
		set_one[i] = fds[i] >= 0 && !set(fds[i], options[i].option, options[i].value);
	}
	bool good = !sk_seen_read(it, getpid(), &seen);
	const struct sk_seen *plain = find(&seen, fresh);
	for (size_t i = 0; i < TRIED; i++) {
		const struct sk_seen *other = find(&seen, fds[i]);

		good = good && plain && other &&
		       !set_one[i] == !memcmp(other->values, plain->values, sizeof(plain->values));
		cleanup_close(&fds[i]);
	}
	cleanup_close(&fresh);
	free(seen.sockets);
	return good;
}
