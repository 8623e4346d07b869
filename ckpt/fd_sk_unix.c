/*
 * UNIX sockets (man 7 unix): addresses, peers, queues with the descriptors in them, clients that wait to be accepted.
 * What the socket itself does not tell comes from sock_diag(7); where its file is, which may have been renamed
 * since, from SIOCUNIXFILE.
 *
 * A peer outside the tree is refused, unless --ext-unix-sk permits that a SOCK_DGRAM socket is connected again by the
 * name of its peer.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "fd_seen.h"
#include "kernel_abi.h"
#include "log.h"
#include "opts.h"
#include "sk-unix.pb-c.h"
#include "sk_diag.h"
#include "sk_opts.h"
#include "sk_queue.h"
#include "sk_seen.h"
#include "sock_diag.h"

#define DELETED " (deleted)"
#define LINKS 16 /* names of one socket's file that are found, at most */

struct unix_paths {
	char path[PATH_MAX]; /* of its file now */
	char bound[PATH_MAX]; /* the one that the kernel keeps, which may be gone while others are there */
	char dir[PATH_MAX]; /* what a relative name is relative to */
	struct stat file; /* st_ino 0 when there is none */
	char *links[LINKS]; /* its other names; owned */
	size_t n_links;
};

struct unix_state {
	uint8_t type, state, shutdown;
	uint32_t ino, peer; /* peer: of who waits to be accepted, the listening socket */
	uint32_t backlog;
	bool waits; /* to be accepted, behind so many others: */
	uint32_t place;
	int unread; /* bytes that it has sent and nobody has read */
	int peek_off;
	struct ucred peer_cred; /* SO_PEERCRED; uid -1: nobody */
	bool pass_pidfd;
	bool bpf; /* filters its packets */
	bool external; /* outside the tree; --ext-unix-sk permits it */
	bool deleted; /* its file */
	size_t name_len;
	char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
	struct unix_paths *at; /* NULL: it has no name in the file system. Owned */
	SkOptsEntry opts;
	size_t n_icons;
	uint32_t icons[];
};

static bool match(const struct fd_info *info)
{
	int family = 0;
	socklen_t size = sizeof(family);

	if (info->seen)
		return S_ISSOCK(info->st.st_mode) && info->seen->socket->family == AF_UNIX;
	return S_ISSOCK(info->st.st_mode) && info->number >= 0 && !(info->flags & O_PATH) &&
	       !getsockopt(info->fd, SOL_SOCKET, SO_DOMAIN, &family, &size) && family == AF_UNIX;
}

/*
 * Names of its file in the directory where it was bound: servers bind a temporary name, link(2) it to the final one and
 * remove the first. path: the name that the kernel keeps, which may be gone.
 */
static void find_links(struct unix_state *u, const char *path)
{
	int dir_len = strrchr(path, '/') - path;
	char dir_name[PATH_MAX];

	snprintf(dir_name, sizeof(dir_name), "%.*s", dir_len ? dir_len : 1, path);
	DIR *dir = opendir(dir_name);
	for (struct dirent *e; dir && u->at->n_links < LINKS && (e = readdir(dir));) {
		struct stat st;

		if (e->d_ino != u->at->file.st_ino || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) ||
		    st.st_ino != u->at->file.st_ino || st.st_dev != u->at->file.st_dev ||
		    !strcmp(e->d_name, path + dir_len + 1))
			continue;
		if (asprintf(&u->at->links[u->at->n_links], "%.*s/%s", dir_len, path, e->d_name) > 0)
			u->at->n_links++;
	}
	if (dir)
		closedir(dir);
}

/* Where the file of a socket with a path is. */
static void find_file(struct unix_state *u, const struct fd_info *info)
{
	_cleanup_close_ int fd = ioctl(info->fd, SIOCUNIXFILE);
	char link[64];

	if (fd < 0 || fstat(fd, &u->at->file)) {
		u->at->file.st_ino = 0;
		return;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, u->at->path, sizeof(u->at->path) - 1);
	struct stat now;

	u->at->path[n < 0 ? 0 : n] = 0;
	/* When it is deleted, the link says so behind the name, and leads nowhere, or to another. */
	bool there = !lstat(u->at->path, &now) && now.st_ino == u->at->file.st_ino && now.st_dev == u->at->file.st_dev;
	if (u->at->path[0] == '/' && u->at->file.st_nlink > there)
		find_links(u, u->at->path);
	size_t len = strlen(u->at->path), suffix = strlen(DELETED);
	snprintf(u->at->bound, sizeof(u->at->bound), "%.*s",
		 (int)(!there && len > suffix && !strcmp(u->at->path + len - suffix, DELETED) ? len - suffix : len),
		 u->at->path);
	if (there)
		return;
	u->deleted = !u->at->n_links;
	snprintf(u->at->path, sizeof(u->at->path), "%s", u->at->n_links ? u->at->links[--u->at->n_links] : "");
	free(u->deleted ? NULL : u->at->links[u->at->n_links]);
}

/*
 * A relative name is relative to where the task was: where its file is now, less the name. A file that was renamed
 * since most likely stayed in its directory; else we can only take where the task is now.
 */
static void find_dir(struct unix_state *u, const struct fd_info *info)
{
	const char *in_name = strrchr(u->name, '/'), *in_path = strrchr(u->at->bound, '/');
	size_t name = in_name ? in_name - u->name : 0, path = in_path ? in_path - u->at->bound : 0;

	if (!u->name_len || !u->name[0] || u->name[0] == '/')
		return;
	if (in_path && !name)
		snprintf(u->at->dir, sizeof(u->at->dir), "%.*s", (int)path, u->at->bound);
	else if (path > name && !strncmp(u->at->bound + path - name, u->name, name) &&
		 u->at->bound[path - name - 1] == '/')
		snprintf(u->at->dir, sizeof(u->at->dir), "%.*s", (int)(path - name - 1), u->at->bound);
	else if (proc_link(info->task->proc, "cwd", u->at->dir, sizeof(u->at->dir)))
		u->at->dir[0] = 0;
}

static int read_options(struct unix_state *u, int fd)
{
	int value = 0;
	socklen_t size = sizeof(value);

	socklen_t cred_size = sizeof(u->peer_cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &u->peer_cred, &cred_size))
		u->peer_cred.uid = -1;
	u->peek_off = -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &u->peek_off, &size))
		u->peek_off = -1;
	size = sizeof(value);
	u->pass_pidfd = !getsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &value, &size) && value;
	return sk_opts_get(fd, &u->opts, &u->bpf);
}

/* One that is at rest, with the options of another. */
static int collect_seen(struct dump_file *f, const struct sk_seen *socket)
{
	const struct unix_state *like = socket->alike->first;
	struct unix_state *u = calloc(1, sizeof(*u));

	f->data = u;
	if (!u)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	u->type = socket->type;
	u->state = STATE_ESTABLISHED;
	u->ino = f->st.st_ino;
	u->peer = socket->peer;
	u->peek_off = like->peek_off;
	u->peer_cred = like->peer_cred;
	u->pass_pidfd = like->pass_pidfd;
	u->opts = like->opts;
	return 0;
}

static int collect_asked(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	const struct unix_diag *diag = sk_diag_unix(d, info->st.st_ino);
	int err = diag ? 0 : -errno;
	struct unix_state *u = err ? NULL : calloc(1, sizeof(*u) + diag->n_icons * sizeof(*u->icons));
	if (u) {
		u->type = diag->type;
		u->state = diag->state;
		u->shutdown = diag->shutdown;
		u->ino = diag->ino;
		u->peer = diag->peer;
		u->backlog = diag->state == STATE_LISTEN ? diag->wqueue : 0;
		u->name_len = diag->name_len;
		memcpy(u->name, diag->name, diag->name_len);
		u->n_icons = diag->n_icons;
		memcpy(u->icons, diag->icons, diag->n_icons * sizeof(*u->icons));
	}
	f->data = u;
	if (err == -ENOENT)
		return log_errno(ENOENT,
				 "sock_diag does not know the UNIX socket of %s of task %d: is it of another network "
				 "namespace, or does the kernel lack CONFIG_UNIX_DIAG?",
				 f->where, f->pid);
	if (err || !u)
		return log_errno(err ? -err : ENOMEM, "can't look at the UNIX socket of %s of task %d", f->where,
				 f->pid);
	if (ioctl(info->fd, SIOCOUTQ, &u->unread))
		u->unread = 0;
	if (u->name_len && u->name[0]) {
		u->at = calloc(1, sizeof(*u->at));
		if (!u->at)
			return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
		find_file(u, info);
		find_dir(u, info);
	}
	err = read_options(u, info->fd);
	if (err)
		return log_errno(-err, "can't read the options of the socket of %s of task %d", f->where, f->pid);
	if (info->alike)
		info->alike->first = u;
	return u->state == STATE_LISTEN ? 0 : sk_queue_collect(d, f, info->fd, u->type);
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct fd_info own = *info;

	if (!info->seen)
		return collect_asked(d, f, info);
	if (info->seen->socket->alike->first)
		return collect_seen(f, info->seen->socket);
	/* the first of them is not here: another task has it, which was not looked at this way */
	_cleanup_close_ int fd = files_get(d, f);
	own.fd = fd;
	own.alike = info->seen->socket->alike;
	return fd < 0 ? fd : collect_asked(d, f, &own);
}

static struct unix_state *next_socket(const struct dump *d, const struct dump_file **f)
{
	*f = files_next_of(d, &dump_fd_sk_unix, *f);
	return *f ? (*f)->data : NULL;
}

/* All sockets are inodes of one file system. */
static const struct dump_file *find_socket(const struct dump *d, const struct dump_file *like, uint32_t ino)
{
	const struct dump_file *f = ino ? files_by_inode(d, like->st.st_dev, ino) : NULL;

	return f && f->kind == &dump_fd_sk_unix ? f : NULL;
}

/* The listening socket that the client waits at, or 0. *place gets how many wait before it. */
static uint32_t find_listener(const struct dump *d, uint32_t client, uint32_t *place)
{
	const struct dump_file *f = NULL;

	for (const struct unix_state *u; (u = next_socket(d, &f));)
		for (size_t i = 0; i < u->n_icons; i++)
			if (u->icons[i] == client) {
				*place = i;
				return u->ino;
			}
	return 0;
}

static bool holds(const char *pid, uint32_t ino)
{
	char path[300], link[64], wanted[64];
	bool found = false;

	snprintf(wanted, sizeof(wanted), "socket:[%u]", ino);
	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	DIR *dir = opendir(path);
	for (struct dirent *e; dir && !found && (e = readdir(dir));) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, link, sizeof(link) - 1);

		link[n < 0 ? 0 : n] = 0;
		found = !strcmp(link, wanted);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Who outside the tree holds a socket; in words. */
static void name_holder(uint32_t ino, char *buf, size_t size)
{
	DIR *dir = opendir("/proc");

	snprintf(buf, size, "a process that can't be seen, or is in flight");
	for (struct dirent *e; dir && ino && (e = readdir(dir));) {
		char path[280], name[32] = "?";

		if (!isdigit(e->d_name[0]) || atoi(e->d_name) == getpid() || !holds(e->d_name, ino))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		_cleanup_fclose_ FILE *comm = fopen(path, "re");
		if (comm && fscanf(comm, "%31[^\n]", name) != 1)
			name[0] = 0;
		snprintf(buf, size, "process %d (%s)", atoi(e->d_name), name);
		break;
	}
	if (dir)
		closedir(dir);
}

static int refuse_peer(struct dump *d, const struct dump_file *f, uint32_t ino)
{
	char reason[256], holder[128];

	name_holder(ino, holder, sizeof(holder));
	snprintf(reason, sizeof(reason), "its other end is held by %s, which is outside the tree", holder);
	return blocker_add(d, f->pid, "unix socket", reason,
			   "dump that process, too, or close the connection before the dump; --ext-unix-sk permits a "
			   "SOCK_DGRAM socket whose peer has a name, --external 'unix[INODE]' any",
			   "%s", f->where);
}

/* Whether --ext-unix-sk names the inode, or names none. */
static bool is_permitted(const struct dump *d, const struct unix_state *u)
{
	bool found = d->opts->ext_unix_any;

	for (const char *at = d->opts->ext_unix; at && *at && !found;) {
		char *end;

		found = strtoul(at, &end, 10) == u->ino;
		at = end + strspn(end, ",");
	}
	return found && u->type == SOCK_DGRAM;
}

/* Whether --external names the socket, by its own inode or that of its other end. */
static bool may_be_cut_off(const struct dump *d, const struct unix_state *u)
{
	char own[32], peer[32];

	snprintf(own, sizeof(own), "unix[%u]", u->ino);
	snprintf(peer, sizeof(peer), "unix[%u]", u->peer);
	return opts_find_outside(d->opts, own, false) || opts_find_outside(d->opts, peer, false);
}

/* The other end becomes an entry that says nothing: a restore is given another one, or closes it. */
static int add_cut_off(struct dump *d, const struct dump_file *f, const struct unix_state *u)
{
	struct unix_state *peer = calloc(1, sizeof(*peer));

	if (!peer)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	peer->external = true;
	peer->type = SOCK_DGRAM; /* as CRIU has it */
	peer->state = STATE_LISTEN;
	peer->ino = u->peer;
	peer->peek_off = -1;
	sk_opts_entry__init(&peer->opts);
	return files_add_made(d, &dump_fd_sk_unix, f->pid, f->where, peer);
}

/* The peer outside becomes an entry without a descriptor: a restore connects to its name. */
static int add_external(struct dump *d, const struct dump_file *f, const struct unix_state *u)
{
	const struct unix_diag *diag = sk_diag_unix(d, u->peer);
	struct unix_state *peer = diag && diag->name_len ? calloc(1, sizeof(*peer)) : NULL;

	if (!peer)
		return refuse_peer(d, f, u->peer);
	peer->external = true;
	peer->type = diag->type;
	peer->state = diag->state;
	peer->ino = diag->ino;
	peer->peek_off = -1;
	peer->name_len = diag->name_len;
	memcpy(peer->name, diag->name, diag->name_len);
	sk_opts_entry__init(&peer->opts);
	return files_add_made(d, &dump_fd_sk_unix, f->pid, f->where, peer);
}

static int judge_unix(struct dump *d, const struct dump_file *f)
{
	struct unix_state *u = f->data;

	if (u->external)
		return 0;
	if (u->bpf) {
		int err = sk_opts_refuse_bpf(d, f);

		if (err)
			return err;
	}
	for (size_t i = 0; i < u->n_icons; i++)
		if (u->icons[i] && !find_socket(d, f, u->icons[i]))
			return refuse_peer(d, f, u->icons[i]);
	if (!u->peer && u->type != SOCK_DGRAM && u->state == STATE_ESTABLISHED && !u->shutdown) {
		u->peer = find_listener(d, u->ino, &u->place);
		u->waits = u->peer != 0;
		if (!u->peer)
			return blocker_add(d, f->pid, "unix socket",
					   "it waits to be accepted by a process outside the tree",
					   "dump that process, too, or wait until it accepts", "%s", f->where);
		if (u->unread)
			return blocker_add(d, f->pid, "unix socket",
					   "it has sent data into a connection that is not accepted yet: nobody can "
					   "read that without taking it",
					   "try again when the server has accepted", "%s", f->where);
	}
	if (!u->peer || find_socket(d, f, u->peer))
		return 0;
	if (may_be_cut_off(d, u))
		return add_cut_off(d, f, u);
	return is_permitted(d, u) ? add_external(d, f, u) : refuse_peer(d, f, u->peer);
}

static void fill_file(const struct unix_state *u, UnixSkEntry *e, FilePermsEntry *perms)
{
	file_perms_entry__init(perms);
	perms->mode = u->at->file.st_mode;
	perms->uid = u->at->file.st_uid;
	perms->gid = u->at->file.st_gid;
	e->file_perms = perms;
	e->has_deleted = u->deleted;
	e->deleted = u->deleted;
	if (u->at->dir[0])
		e->name_dir = (char *)u->at->dir;
	size_t dir = strlen(u->at->dir);
	bool same = u->at->dir[0] ? !strncmp(u->at->path, u->at->dir, dir) && u->at->path[dir] == '/' &&
					    !strcmp(u->at->path + dir + 1, u->name)
				  : !strcmp(u->at->path, u->name);
	if (!u->deleted && !same)
		e->path = (char *)u->at->path;
	e->n_links = u->at->n_links;
	e->links = (char **)u->at->links;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *file, struct arena *arena)
{
	const struct unix_state *u = f->data;
	UnixSkEntry *e = arena_get(arena, sizeof(*e));
	FilePermsEntry *perms = arena_get(arena, sizeof(*perms));

	if (!e || !perms)
		return -ENOMEM;
	unix_sk_entry__init(e);
	e->id = f->id;
	e->ino = u->ino;
	e->type = u->type;
	e->state = u->state;
	e->flags = f->flags;
	e->uflags = u->external ? UFLAG_EXTERN : 0;
	e->backlog = u->backlog;
	e->peer = u->peer;
	e->fown = (FownEntry *)&f->fown;
	e->opts = (SkOptsEntry *)&u->opts;
	e->name = (ProtobufCBinaryData){ u->name_len, (uint8_t *)u->name };
	e->has_shutdown = u->shutdown != 0;
	e->shutdown = u->shutdown;
	e->has_ns_id = true;
	e->ns_id = IDS_NET_NS;
	if (u->external && !u->name_len)
		e->has_ns_id = false;
	if (u->at && u->at->file.st_ino)
		fill_file(u, e, perms);
	e->has_peer_pid = e->has_peer_uid = e->has_peer_gid = !u->external && u->peer_cred.uid != (uid_t)-1;
	e->peer_pid = u->peer_cred.pid;
	e->peer_uid = u->peer_cred.uid;
	e->peer_gid = u->peer_cred.gid;
	e->has_place = u->waits;
	e->place = u->place;
	e->has_peek_off = u->peek_off >= 0;
	e->peek_off = u->peek_off;
	e->has_pass_pidfd = e->pass_pidfd = u->pass_pidfd;
	file->usk = e;
	return 0;
}

static void forget(void *data)
{
	struct unix_state *u = data;

	for (size_t i = 0; u && u->at && i < u->at->n_links; i++)
		free(u->at->links[i]);
	if (u) {
		free(u->opts.so_filter);
		free(u->at);
	}
}

const struct dump_fd_kind dump_fd_sk_unix = {
	.name = "unix socket",
	.type = FD_TYPES__UNIXSK,
	.match = match,
	.collect = collect,
	.judge = judge_unix,
	.fill = fill,
	.write = sk_queues_write,
	.forget = forget,
};
