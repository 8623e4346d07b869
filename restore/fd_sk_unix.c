/*
 * UNIX sockets. Those that are connected, or have the name of the same listening socket, are made together:
 *   - a pair without names by socketpair(2); one end alone, whose other is gone, too, and the other is closed again,
 *   - a connection that was accepted, and so has the name of the socket that listened, by connecting to that, or to
 *     one that listens under that name for a moment,
 *   - clients that wait to be accepted by connecting to the one that listens,
 *   - SOCK_DGRAM sockets one by one, connected at the end.
 * Then what waited in queues is sent again, ends are shut down and options set.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "kernel_abi.h"
#include "log.h"
#include "opts.h"
#include "outside.h"
#include "plan.h"
#include "sk_opts.h"
#include "sk_queue.h"
#include "sk_unix.h"

#define SNDBUF (256 << 20) /* bytes: enough for what fitted before */
#define SHUTDOWN_BOTH 3

static struct sk_unix *state(const struct plan_file *file)
{
	return file->data;
}

static bool is_stream(const UnixSkEntry *e)
{
	return e->type != SOCK_DGRAM;
}

static bool listens(const struct plan_file *file)
{
	return state(file)->entry->state == STATE_LISTEN;
}

/* Whether each is the other's peer. */
static bool is_mutual(const struct plan_file *file)
{
	const struct plan_file *peer = state(file)->peer;

	return peer && peer != file && state(peer)->peer == file;
}

static int unix_read(struct plan *plan, struct plan_file *file)
{
	const UnixSkEntry *e = file->entry->usk;
	struct sk_unix *u = plan_alloc(plan, sizeof(*u));

	if (!e) {
		log_err("files.img: file 0x%x is of the kind UNIXSK but has no entry of that", file->id);
		return -EBADMSG;
	}
	if (!u)
		return -ENOMEM;
	if (e->ino && !id_map_get(plan, &plan->sockets_by_ino, e->ino, file))
		return -ENOMEM;
	*u = (struct sk_unix){ .entry = e, .other = -1, .external = e->uflags == UFLAG_EXTERN };
	file->data = u;
	file->flags = e->flags;
	file->fown = e->fown;
	if ((e->type != SOCK_STREAM && e->type != SOCK_DGRAM && e->type != SOCK_SEQPACKET) ||
	    (e->state != STATE_ESTABLISHED && e->state != STATE_CLOSE && e->state != STATE_LISTEN) ||
	    (e->state == STATE_LISTEN && !is_stream(e) && !u->external) || e->backlog > INT32_MAX)
		plan_refuse(plan, "files.img: type, state or backlog of UNIX socket 0x%x are unknown", file->id);
	if (e->name.len > sizeof(((struct sockaddr_un *)0)->sun_path) || (e->name_dir && e->name_dir[0] != '/') ||
	    (e->path && e->path[0] != '/') || (e->state == STATE_LISTEN && !e->name.len && !u->external))
		plan_refuse(plan, "files.img: the name of UNIX socket 0x%x is too long, not absolute or missing",
			    file->id);
	if (e->has_peer_pid && e->peer_pid > INT32_MAX)
		plan_refuse(plan, "files.img: the peer of UNIX socket 0x%x has the number %u", file->id, e->peer_pid);
	for (size_t i = 0; i < e->n_links; i++)
		if (e->links[i][0] != '/')
			plan_refuse(plan, "files.img: a name of UNIX socket 0x%x is not absolute", file->id);
	if (e->uflags & ~UFLAG_EXTERN || (u->external && is_stream(e)))
		plan_refuse(plan,
			    "files.img: UNIX socket 0x%x is outside the images in a way that is not supported; "
			    "restore with CRIU",
			    file->id);
	else if (u->external && e->name.len && !plan->opts->ext_unix_any && !plan->opts->ext_unix)
		plan_refuse_here(plan,
				 "files.img: UNIX socket 0x%x is outside the images: --ext-unix-sk connects to it",
				 file->id);
	sk_opts_check(plan, file, e->opts);
	char key[32];
	snprintf(key, sizeof(key), "socket:[%u]", e->ino);
	return outside_find(plan, file, key, S_IFSOCK);
}

static bool is_mine(const struct plan_file *file)
{
	return file->entry->type == FD_TYPES__UNIXSK && file->data;
}

static struct plan_file *find_by_ino(struct plan *plan, uint32_t ino)
{
	return ino ? id_map_get(plan, &plan->sockets_by_ino, ino, NULL) : NULL;
}

static bool same_name(const UnixSkEntry *a, const UnixSkEntry *b)
{
	return a->name.len == b->name.len && !memcmp(a->name.data, b->name.data, a->name.len);
}

/* The socket that listens under the name of this one, which has a connection; NULL: none. */
static struct plan_file *find_listener(const struct plan *plan, const struct plan_file *file)
{
	const UnixSkEntry *e = state(file)->entry;

	if (!e->name.len || !is_stream(e) || e->state != STATE_ESTABLISHED)
		return NULL;
	for (size_t i = 0; i < plan->n_files; i++) {
		struct plan_file *f = &plan->files[i];

		if (is_mine(f) && listens(f) && same_name(state(f)->entry, e))
			return f;
	}
	return NULL;
}

/*
 * Whether its name is that of the socket that it was accepted from. If not, it was bound itself, as a client may be,
 * too. When both ends have names and none listens any more, the one that was made later is taken.
 */
static bool has_foreign_name(struct plan *plan, const struct plan_file *file)
{
	const UnixSkEntry *e = state(file)->entry;
	const struct plan_file *peer = find_by_ino(plan, e->peer);

	if (!e->name.len || !is_stream(e) || e->state != STATE_ESTABLISHED || (peer && listens(peer)))
		return false;
	if (find_listener(plan, file) || !peer || !state(peer)->entry->name.len)
		return true;
	return !find_listener(plan, peer) && e->ino > state(peer)->entry->ino;
}

static int unix_resolve(struct plan *plan, struct plan_file *file)
{
	struct sk_unix *u = state(file);
	const UnixSkEntry *e = u->entry;

	/* A damaged image may have refused it before. */
	if (plan->problems)
		return 0;
	u->peer = find_by_ino(plan, e->peer);
	/* --external permitted that its other end is somewhere else: it gets another one, or none. */
	if (u->peer && state(u->peer)->external && !state(u->peer)->entry->name.len) {
		u->peer = NULL;
		u->cut_off = true;
		if (file->outside < 0)
			log_warn("UNIX socket 0x%x was connected to another process: its other end is closed; give one "
				 "by "
				 "--inherit-fd 'fd[N]:socket:[%u]'",
				 file->id, e->ino);
	}
	if (file->outside >= 0 && u->peer)
		plan_refuse(plan, "--inherit-fd for socket:[%u]: its other end is in the images", e->ino);
	u->listener = has_foreign_name(plan, file) ? find_listener(plan, file) : file;
	if (u->external)
		return 0;
	if (e->peer && !u->peer && !u->cut_off)
		plan_refuse(plan, "files.img: the peer %u of UNIX socket 0x%x is not in the images", e->peer, file->id);
	else if (u->peer && (state(u->peer)->entry->type != e->type || (u->peer == file && is_stream(e))))
		plan_refuse(plan, "files.img: UNIX socket 0x%x and its peer do not fit", file->id);
	else if (u->peer && is_stream(e) && !listens(u->peer) && state(u->peer)->entry->peer != e->ino)
		plan_refuse(plan, "files.img: UNIX socket 0x%x is connected to one that is connected to another",
			    file->id);
	if (u->peer && !state(u->peer)->external)
		plan_join_files(file, u->peer);
	if (u->listener)
		plan_join_files(file, u->listener);
	/* Its other end, for a moment. */
	plan->n_extra_fds += !u->peer && e->state == STATE_ESTABLISHED;
	sk_unix_check_name(plan, file, u);
	return sk_queue_resolve(plan, file);
}

static int begin(struct plan *plan)
{
	return sk_queues_read(plan);
}

static bool unix_reach(struct plan *plan, struct plan_file *file)
{
	bool moved = sk_unix_cred_reach(plan, file, state(file)->entry);

	return sk_queue_reach(plan, file) || moved;
}

static int new_socket(const UnixSkEntry *e)
{
	return socket(AF_UNIX, e->type | SOCK_CLOEXEC, 0);
}

static int listen_as(struct plan *plan, const UnixSkEntry *e, int fd, int backlog)
{
	return sk_unix_call_as(plan, sk_unix_recorded(e), SYS_listen, (uint64_t[4]){ fd, backlog });
}

/* A socket of its own, with its name. */
static int make_alone(struct plan *plan, struct plan_file *file)
{
	const UnixSkEntry *e = state(file)->entry;
	int err = fd_take(plan, file, new_socket(e));

	if (!err)
		err = sk_unix_bind(file, state(file), file->fd, false);
	if (err || !listens(file))
		return err;
	err = listen_as(plan, e, file->fd, e->backlog);
	return err ? log_errno(-err, "can't listen at UNIX socket 0x%x", file->id) : 0;
}

/* who: whom the other end will take for its peer. */
static int connect_to(struct plan *plan, const struct plan_file *file, int fd, int target, struct sk_unix_cred who)
{
	struct sockaddr_un addr;
	int hold, len = sk_unix_reach_address(file, target, &addr, &hold);

	if (len < 0)
		return len;
	int err = sk_unix_call_as(plan, who, SYS_connect, (uint64_t[4]){ fd, (uintptr_t)&addr, len });
	if (hold >= 0)
		close(hold);
	return err ? log_errno(-err, "can't connect UNIX socket 0x%x", file->id) : 0;
}

/* Gives an end of a connection to its file, or keeps it until the other is done. */
static int take_end(struct plan *plan, struct plan_file *file, struct sk_unix *other_of, int fd, int made)
{
	if (file)
		return fd_take_made(plan, file, fd, made);
	other_of->other = fd_to_temporary(plan, fd);
	return other_of->other < 0 ? other_of->other : 0;
}

static int make_pair(struct plan *plan, struct plan_file *file)
{
	struct plan_file *peer = is_mutual(file) ? state(file)->peer : NULL;
	const UnixSkEntry *e = state(file)->entry;
	int32_t *ends = plan->shared->slots[file->with->owner->index].pair;
	int made = file->flags & (peer ? peer->flags : 0) & SOCK_NONBLOCK;
	int type = e->type | fd_cloexec(file, peer) | made;
	const uint64_t args[4] = { AF_UNIX, type, 0, (uintptr_t)ends };

	int err = sk_unix_call_as(plan, sk_unix_recorded(e), SYS_socketpair, args);
	if (err)
		return log_errno(-err, "can't make UNIX socket 0x%x", file->id);
	err = fd_take_made(plan, file, ends[0], made);
	if (err) {
		close(ends[1]);
		return err;
	}
	state(file)->fresh = true;
	if (peer)
		state(peer)->fresh = true;
	return take_end(plan, peer, state(file), ends[1], made);
}

/* One that listens under the name of a socket that was accepted from one that is gone. Returns it or -errno (logged).
 */
static int listen_for_a_moment(struct plan *plan, const struct plan_file *file, const struct plan_file *client)
{
	int fd = new_socket(state(file)->entry);

	if (fd < 0)
		return log_errno(errno, "can't make a socket");
	int err = sk_unix_bind(file, state(file), fd, true);
	if (!err && (err = listen_as(plan, state(client ? client : file)->entry, fd, 1)))
		log_errno(-err, "can't listen under the name of UNIX socket 0x%x", file->id);
	if (err)
		close(fd);
	return err ? err : fd;
}

/* A connection whose end, accepted, has the name of the socket that listened. */
static int make_accepted(struct plan *plan, struct plan_file *accepted)
{
	struct sk_unix *u = state(accepted);
	struct plan_file *client = is_mutual(accepted) ? u->peer : NULL;
	_cleanup_close_ int own = u->listener ? -1 : listen_for_a_moment(plan, accepted, client);
	_cleanup_close_ int fd = new_socket(u->entry);
	int listener = u->listener ? u->listener->fd : own;

	if (listener < 0 || fd < 0)
		return listener < 0 ? listener : log_errno(errno, "can't make a socket");
	int err = client ? sk_unix_bind(client, state(client), fd, false) : 0;
	if (!err)
		err = connect_to(plan, accepted, fd, listener, sk_unix_recorded(u->entry));
	if (!err)
		err = fd_take(plan, accepted, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	return err ? err : take_end(plan, client, u, take_fd(&fd), -1);
}

/* Has the name of another socket: it was accepted. */
static bool was_accepted(const struct plan_file *file)
{
	return state(file)->listener != file;
}

/* One of two SOCK_DGRAM sockets without names, made by socketpair(2). The other may be gone. */
static bool is_half_pair(const struct plan_file *file)
{
	const struct sk_unix *u = state(file);

	if (u->entry->name.len)
		return false;
	return u->peer ? is_mutual(file) && !state(u->peer)->entry->name.len : u->entry->state == STATE_ESTABLISHED;
}

/* What --inherit-fd gives, as it is. */
static int take_given(struct plan *plan, struct plan_file *file)
{
	if (sk_queue_next(plan, file, NULL))
		log_warn("UNIX socket 0x%x comes from outside: what waited in it at the dump is lost", file->id);
	file->fd = outside_take(plan, file);
	return file->fd < 0 ? file->fd : 0;
}

static int make(struct plan *plan, struct plan_file *file)
{
	const UnixSkEntry *e = state(file)->entry;

	if (file->fd >= 0)
		return 0;
	if (file->outside >= 0)
		return take_given(plan, file);
	if (!is_stream(e))
		return is_half_pair(file) ? make_pair(plan, file) : make_alone(plan, file);
	if (e->state == STATE_CLOSE)
		return make_alone(plan, file);
	if (was_accepted(file))
		return make_accepted(plan, file);
	if (is_mutual(file) && was_accepted(state(file)->peer))
		return make_accepted(plan, state(file)->peer);
	int err = make_pair(plan, file);
	/* Its name came after the connection, or who accepted it is gone. */
	return err || !e->name.len ? err : sk_unix_bind(file, state(file), file->fd, false);
}

/* Waits to be accepted. */
static int make_client(struct plan *plan, struct plan_file *file)
{
	const struct plan_file *listener = state(file)->peer;
	int err = make_alone(plan, file);

	return err ? err : connect_to(plan, file, file->fd, listener->fd, sk_unix_holder(plan, file));
}

static bool is_waiting(const struct plan_file *file)
{
	return state(file)->peer && is_stream(state(file)->entry) && listens(state(file)->peer);
}

/* Who comes next of those that wait to be accepted and are not made yet: in their old order. CRIU does not tell it. */
static struct plan_file *next_client(struct plan_file *first)
{
	struct plan_file *next = NULL;
	uint32_t place = 0;

	for (struct plan_file *f = first; f; f = f->with_next) {
		const UnixSkEntry *e = state(f)->entry;
		uint32_t own = e->has_place ? e->place : f->id;

		if (f->fd < 0 && is_waiting(f) && (!next || own < place)) {
			next = f;
			place = own;
		}
	}
	return next;
}

static int unix_open(struct plan *plan, struct plan_file *first)
{
	int err = 0;

	/* Those that others connect to, then those, then those that nobody has accepted. */
	for (struct plan_file *f = first; f && !err; f = f->with_next)
		err = listens(f) && f->outside < 0 ? make_alone(plan, f) : 0;
	for (struct plan_file *f = first; f && !err; f = f->with_next)
		err = is_waiting(f) ? 0 : make(plan, f);
	for (struct plan_file *f; !err && (f = next_client(first));)
		err = make_client(plan, f);
	return err;
}

static int enlarge(int fd)
{
	int size = SNDBUF;

	return setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ? -errno : 0;
}

/* Sends from a socket that exists for that only, under the name of who sent it. */
static int send_as_stranger(const struct plan_file *file, const struct sk_packet *packet)
{
	const SkPacketEntry *e = packet->entry;
	UnixSkEntry named = *state(file)->entry;
	struct sk_unix stranger = { .entry = &named };
	_cleanup_close_ int fd = new_socket(&named);
	struct sockaddr_un addr;
	int hold, len, err = 0;

	if (fd < 0 || enlarge(fd))
		return log_errno(errno, "can't make a socket");
	named.name = e->addr;
	/* The name may be that of a living socket: then it comes from nobody. */
	if (e->addr.len && e->addr.data[0])
		err = sk_unix_bind(file, &stranger, fd, true);
	if (err || (len = sk_unix_reach_address(file, file->fd, &addr, &hold)) < 0)
		return err ? err : len;
	err = sk_packet_send(file, packet, fd, &addr, len);
	if (hold >= 0)
		close(hold);
	return err;
}

/* The socket from which packets for this one come: its peer, or what stands for that. -1: there is none. */
static int sender(const struct plan_file *file)
{
	const struct sk_unix *u = state(file);

	if (u->other >= 0)
		return u->other;
	return is_mutual(file) && (is_stream(u->entry) || is_half_pair(file)) ? u->peer->fd : -1;
}

static int fill_queue(struct plan *plan, const struct plan_file *file)
{
	const struct sk_unix *u = state(file);
	int fd = sender(file), err = 0;

	for (const struct sk_packet *p = NULL; !err && (p = sk_queue_next(plan, file, p));) {
		if (fd < 0 && !state(file)->entry->name.len)
			return log_errno(ENOTSUP, "nobody can send what waits in UNIX socket 0x%x any more", file->id);
		if (fd >= 0)
			err = enlarge(fd);
		if (fd >= 0 && u->other < 0)
			state(u->peer)->fresh = false;
		if (!err)
			err = fd >= 0 ? sk_packet_send(file, p, fd, NULL, 0) : send_as_stranger(file, p);
	}
	return err;
}

static int connect_outside(const struct plan_file *file, const struct sk_unix *peer)
{
	struct sockaddr_un addr;
	socklen_t len = sk_unix_address(peer->entry, &addr);

	if (!connect(file->fd, (struct sockaddr *)&addr, len))
		return 0;
	return log_errno(errno, "can't connect UNIX socket 0x%x to %s%.*s outside the tree", file->id,
			 addr.sun_path[0] ? "" : "@", (int)peer->entry->name.len - !addr.sun_path[0],
			 addr.sun_path + !addr.sun_path[0]);
}

/* Whether somebody else, who is not connected yet, still has to connect to this one. */
static bool is_awaited(const struct plan_file *first, const struct plan_file *file, const bool *done)
{
	size_t i = 0;

	for (const struct plan_file *f = first; f; f = f->with_next, i++)
		if (!done[i] && state(f)->peer == file && state(file)->peer != f)
			return true;
	return false;
}

/* A socket that is connected is reached by its peer only: whoever is awaited by others comes later. */
static int connect_datagrams(struct plan *plan, struct plan_file *first)
{
	size_t n = 0, left = 0, i = 0;

	for (const struct plan_file *f = first; f; f = f->with_next)
		n++;
	_cleanup_free_ bool *done = calloc(n, sizeof(*done));
	if (!done)
		return log_errno(ENOMEM, "UNIX sockets");
	for (const struct plan_file *f = first; f; f = f->with_next, i++) {
		const struct sk_unix *u = state(f);

		done[i] = is_stream(u->entry) || !u->peer || is_half_pair(f);
		left += !done[i];
	}
	while (left) {
		size_t before = left;

		i = 0;
		for (struct plan_file *f = first; f; f = f->with_next, i++) {
			if (done[i] || is_awaited(first, f, done))
				continue;
			const struct sk_unix *peer = state(state(f)->peer);
			int err = peer->external ? connect_outside(f, peer)
						 : connect_to(plan, f, f->fd, state(f)->peer->fd, sk_unix_self());
			if (err)
				return err;
			done[i] = true;
			left--;
		}
		if (left == before)
			return log_errno(ELOOP, "UNIX sockets are connected in a ring");
	}
	return 0;
}

/* What new sockets have: the first is asked. NULL: not known. */
static const struct sk_fresh *ask_fresh(struct plan *plan, const struct plan_file *file)
{
	if (!plan->fresh_unix)
		plan->fresh_unix = plan_alloc(plan, sizeof(*plan->fresh_unix));
	if (plan->fresh_unix && !plan->fresh_unix->sndbuf && sk_opts_ask_fresh(file->fd, plan->fresh_unix))
		return NULL;
	return plan->fresh_unix;
}

static int finish_socket(struct plan *plan, struct plan_file *file)
{
	struct sk_unix *u = state(file);
	const UnixSkEntry *e = u->entry;
	const struct sk_fresh *fresh = u->fresh ? ask_fresh(plan, file) : NULL;
	int peek_off = e->has_peek_off ? e->peek_off : -1, on = 1, err = sk_opts_set(file, e->opts, fresh);

	if (u->other >= 0)
		close(u->other);
	u->other = -1;
	if (!err && e->has_shutdown && e->shutdown && e->shutdown <= SHUTDOWN_BOTH &&
	    shutdown(file->fd, e->shutdown - 1) && errno != ENOTCONN)
		err = log_errno(errno, "can't shut down UNIX socket 0x%x", file->id);
	if (!err && peek_off >= 0 && setsockopt(file->fd, SOL_SOCKET, SO_PEEK_OFF, &peek_off, sizeof(peek_off)))
		err = log_errno(errno, "can't set SO_PEEK_OFF of UNIX socket 0x%x", file->id);
	if (!err && e->has_pass_pidfd && e->pass_pidfd &&
	    setsockopt(file->fd, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)))
		err = log_errno(errno, "can't set SO_PASSPIDFD of UNIX socket 0x%x", file->id);
	return err ? err : sk_unix_place_file(file, u);
}

/* Senders' credentials travel only to a socket that asked for them. */
static int ask_for_creds(const struct plan_file *file)
{
	const SkOptsEntry *o = state(file)->entry->opts;
	int on = 1;

	if (!o->has_so_passcred || !o->so_passcred)
		return 0;
	return setsockopt(file->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on))
		       ? log_errno(errno, "can't set SO_PASSCRED of UNIX socket 0x%x", file->id)
		       : 0;
}

static int unix_connect(struct plan *plan, struct plan_file *first)
{
	int err = 0;

	if (first->with != first)
		return 0;
	for (struct plan_file *f = first; f && !err; f = f->with_next)
		err = f->outside < 0 ? ask_for_creds(f) : 0;
	for (struct plan_file *f = first; f && !err; f = f->with_next)
		err = f->outside < 0 ? fill_queue(plan, f) : 0;
	if (!err)
		err = connect_datagrams(plan, first);
	for (struct plan_file *f = first; f && !err; f = f->with_next)
		err = f->outside < 0 ? finish_socket(plan, f) : 0;
	return err;
}

static void unix_undo(struct plan *plan, struct plan_file *file)
{
	sk_unix_remove_file(state(file));
}

const struct restore_fd_kind restore_fd_sk_unix = {
	.name = "unix socket",
	.type = FD_TYPES__UNIXSK,
	.begin = begin,
	.read = unix_read,
	.resolve = unix_resolve,
	.reach = unix_reach,
	.open = unix_open,
	.connect = unix_connect,
	.undo = unix_undo,
};
