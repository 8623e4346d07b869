/*
 * Looks at the descriptors of a task through duplicates (pidfd_getfd(2)), which share all state with them and change
 * none. Where there are many, a second thread looks ahead; what is in fdinfo only is not read where nothing can be in
 * it: that takes longer than all else. Nor are they listed: /proc makes an inode for each name. Those of which BPF
 * iterators have told all that there is to know (fd_seen.h) are not duplicated at all.
 * Not seen among many descriptors without these, in other PID namespaces than the first: flock(2) of a pipe or a
 * socket.
 */
#include "fd_look.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "fd_seen.h"
#include "kernel_look.h"
#include "log.h"
#include "opts.h"
#include "sk_seen.h"

#define MANY 256
#define BATCH 32 /* looks that a thread hands to the other at once */
#define BATCHES 4 /* at most; each look is a descriptor of ours */

struct batch {
	size_t n;
	struct fd_look looks[BATCH];
};

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif
#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

struct looker {
	struct dump_task *t;
	size_t count, found;
	int number; /* to try next */
	int *list; /* NULL: all numbers are tried. Owned */
	bool locks_listed;
	dev_t plain; /* a file system that is plain; 0: none known */
	bool threaded;
	pthread_t thread;
	sem_t room, ready; /* batches in the ring */
	atomic_bool stop;
	struct batch ring[BATCHES];
	size_t in, out; /* batches that were put there, and taken */
	size_t at; /* the next look in the batch ring[out] */
	bool all_told; /* of all it is known to which description they lead: t->told_fds */
	bool all_seen; /* what the kernel keeps of them is known: */
	struct fd_seen_list seen;
	bool taken; /* that one is ours */
};

int fd_look_at_text(int proc, struct fd_look *k)
{
	char name[32], *end;

	snprintf(name, sizeof(name), "fdinfo/%d", k->number);
	int err = proc_read(proc, name, &k->text, NULL);
	if (err)
		return err;
	if (strncmp(k->text, "pos:", 4))
		return -EBADMSG;
	k->pos = strtoul(k->text + 4, &end, 10);
	if (strncmp(end, "\nflags:", 7))
		return -EBADMSG;
	unsigned int flags = strtoul(end + 7, NULL, 8);
	k->flags = flags & ~O_CLOEXEC;
	k->cloexec = flags & O_CLOEXEC;
	return 0;
}

int fd_look_at_owner(int fd, FownEntry *fown)
{
	struct f_owner_ex owner = {};
	uid_t uids[2] = {};

	fown_entry__init(fown);
	if (fcntl(fd, F_GETOWN_EX, &owner) < 0) /* O_PATH descriptors have no owner */
		return errno == EBADF ? 0 : -errno;
	if (owner.pid && fcntl(fd, F_GETOWNER_UIDS, uids) < 0)
		return -errno;
	fown->signum = fcntl(fd, F_GETSIG);
	fown->pid_type = owner.pid ? owner.type : 0;
	fown->pid = owner.pid;
	fown->uid = uids[0];
	fown->euid = uids[1];
	return 0;
}

/* Of sockets, eventfds, and pipes without names it is known without asking. */
static int read_link(struct fd_links *links, struct fd_look *k)
{
	bool pipe = S_ISFIFO(k->st.st_mode) && links->pipes && k->st.st_dev == links->pipes;
	char name[16], link[PATH_MAX];

	if (k->text && strstr(k->text, "\neventfd-count:")) {
		strcpy(link, "anon_inode:[eventfd]");
	} else if (pipe || (S_ISSOCK(k->st.st_mode) && !(k->flags & O_PATH))) {
		snprintf(link, sizeof(link), "%s:[%lu]", pipe ? "pipe" : "socket", (long)k->st.st_ino);
	} else {
		snprintf(name, sizeof(name), "%d", k->fd);
		int err = proc_link(links->own_fds, name, link, sizeof(link));

		if (err)
			return err;
	}
	if (S_ISFIFO(k->st.st_mode) && link[0] != '/')
		links->pipes = k->st.st_dev;
	k->link = k->own_link = strdup(link);
	return k->link ? 0 : -ENOMEM;
}

static int read_owner(struct fd_look *k)
{
	int err = k->owner_known ? 0 : fd_look_at_owner(k->fd, &k->fown);

	k->owner_known = !err;
	return err;
}

int fd_look_closer(struct fd_links *links, struct fd_look *k)
{
	int err = k->link ? 0 : read_link(links, k);

	return err ? err : read_owner(k);
}

/*
 * Whether fdinfo of a file says nothing but its position and flags, and maybe locks. On the usual file systems that can
 * be asked for without a side effect.
 */
static bool is_plain(struct looker *l, const struct fd_look *k, bool without_locks)
{
	static const uint32_t types[] = { EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC, TMPFS_MAGIC };
	struct statfs fs;

	if (!without_locks || !S_ISREG(k->st.st_mode))
		return false;
	if (k->st.st_dev == l->plain)
		return true;
	if (fstatfs(k->fd, &fs))
		return false;
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if ((uint32_t)fs.f_type == types[i])
			l->plain = k->st.st_dev;
	return k->st.st_dev == l->plain;
}

/*
 * A pipe or a socket has no position; whether a descriptor survives execve(2) the task can be asked. seen: what is
 * known of it; NULL: nothing.
 */
static int look_at(struct looker *l, struct fd_look *k, const struct fd_seen *seen)
{
	if (fstat(k->fd, &k->st))
		return -errno;
	bool plain = is_plain(l, k, seen ? !seen->locked : l->locks_listed);
	bool pipe = S_ISFIFO(k->st.st_mode) || S_ISSOCK(k->st.st_mode);
	if (!plain && (!pipe || (seen ? seen->locked : !l->t->asked_cloexec)))
		return fd_look_at_text(l->t->proc, k);
	k->cloexec = seen && seen->cloexec;
	int flags = fcntl(k->fd, F_GETFL);
	if (flags < 0)
		return -errno;
	off_t pos = plain && !(flags & O_PATH) ? lseek(k->fd, 0, SEEK_CUR) : 0;
	k->flags = flags & ~O_CLOEXEC;
	k->pos = pos;
	return pos < 0 ? -errno : 0;
}

/* Too many numbers are not in use: the rest is listed. */
static int list_rest(struct looker *l)
{
	size_t n, at = 0;
	int err = proc_list(l->t->proc, "fd", &l->list, &n);

	while (!err && at < n && l->list[at] < l->number)
		at++;
	l->count = err ? 0 : l->found + n - at;
	l->number = at - l->found;
	return err;
}

/* Neither the end nor an error. */
static bool is_there(const struct fd_look *k)
{
	return k->fd >= 0 || k->seen || k->known || k->err;
}

/* What is seen of one is all that there is to know. */
static void take_seen(struct fd_look *k, const struct fd_seen *seen)
{
	k->seen = seen;
	k->st.st_ino = seen->ino;
	k->st.st_dev = seen->dev;
	k->st.st_mode = seen->mode;
	k->st.st_nlink = seen->nlink;
	k->st.st_size = seen->size;
	k->eventfd_id = seen->is_eventfd ? seen->eventfd.id + 1 : 0;
	k->pos = S_ISREG(seen->mode) ? seen->pos : 0;
	k->flags = seen->flags;
	k->cloexec = seen->cloexec;
	k->link = S_ISREG(seen->mode) ? seen->name : seen->is_eventfd ? "anon_inode:[eventfd]" : k->short_link;
	if (k->link == k->short_link)
		snprintf(k->short_link, sizeof(k->short_link), "%s:[%lu]", S_ISFIFO(seen->mode) ? "pipe" : "socket",
			 (long)seen->ino);
	k->owner_known = true;
	fown_entry__init(&k->fown);
}

/* The next one where what the kernel keeps of them is known. */
static void look_with_seen(struct looker *l, struct fd_look *k)
{
	const struct fd_seen *seen = &l->seen.list[l->found];

	k->number = seen->number;
	k->address = seen->address;
	if (seen->plain) {
		take_seen(k, seen);
		return;
	}
	k->alike = S_ISSOCK(seen->mode) && seen->socket ? seen->socket->alike : NULL;
	k->fd = pidfd_getfd(l->t->pidfd, k->number, 0);
	k->err = k->fd < 0 ? -errno : look_at(l, k, seen);
}

/* The next one of those of which the kernel told: a description that is known needs no look, unless it has locks. */
static void look_with_told(struct looker *l, struct fd_look *k)
{
	const struct fd_told *told = &l->t->told_fds[l->found];

	k->number = told->number;
	k->address = told->address;
	k->cloexec = told->cloexec;
	k->known = told->locked ? NULL : files_by_address(l->t->dump, told->address);
	if (k->known)
		return;
	k->fd = pidfd_getfd(l->t->pidfd, k->number, 0);
	k->err = k->fd < 0 ? -errno : look_at(l, k, NULL);
}

/* Looks at the next one. Returns false when there is none. */
static bool look(struct looker *l, struct fd_look *k)
{
	*k = (struct fd_look){ .fd = -1 };
	if (l->all_seen && l->found < l->count)
		look_with_seen(l, k);
	if (l->all_told && l->found < l->count)
		look_with_told(l, k);
	while (!l->all_seen && !l->all_told && l->found < l->count && k->fd < 0 && !k->err) {
		if (!l->list && (size_t)l->number > 2 * l->found + MANY && (k->err = list_rest(l)))
			break;
		k->number = l->list ? l->list[l->number + l->found] : l->number++;
		k->fd = pidfd_getfd(l->t->pidfd, k->number, 0);
		if (k->fd < 0 && (l->list || errno != EBADF))
			k->err = -errno;
		else if (k->fd >= 0)
			k->err = look_at(l, k, NULL);
		if (k->fd >= 0 && !k->err && l->threaded)
			k->err = read_owner(k); /* the link is for the other thread, which has as much to do then */
	}
	l->found++;
	if (k->err)
		log_errno(-k->err, "can't look at fd %d of task %d", k->number, l->t->pid);
	return is_there(k);
}

/* Looks at so many; the last one is neither a descriptor nor an error. Returns false then, or after an error. */
static bool fill(struct looker *l, struct batch *b, size_t n)
{
	bool more = true;

	for (b->n = 0; b->n < n && more;) {
		struct fd_look *k = &b->looks[b->n++];

		more = look(l, k) && !k->err;
	}
	return more;
}

static void *look_ahead(void *looker)
{
	struct looker *l = looker;
	bool more = true;

	while (more) {
		sem_wait(&l->room);
		struct batch *b = &l->ring[l->in++ % BATCHES];

		b->n = 0;
		more = !l->stop && fill(l, b, BATCH);
		sem_post(&l->ready);
	}
	return NULL;
}

/* Learns what the kernel keeps of all of them, where it tells and it is worth it. */
static void see_all(struct looker *l)
{
	struct dump *d = l->t->dump;
	struct fd_programs *programs = d->opts->outside_count ? NULL : dump_bpf_fds(d, l->count);

	/* before Linux 6.12 the kernel tells nothing of a thread that is not the main one */
	if (programs)
		l->all_seen = !fd_seen_read(programs, l->t->member, &d->sk_alike, &l->seen) && l->seen.n == l->count;
}

/* Those that a look is needed at. */
static size_t count_unseen(const struct looker *l)
{
	size_t n = l->count;

	for (size_t i = 0; l->all_seen && i < l->seen.n; i++)
		n -= l->seen.list[i].plain;
	return n;
}

struct looker *looker_begin(struct dump_task *t)
{
	struct looker *l = calloc(1, sizeof(*l));
	struct stat st;
	int err = l ? 0 : -ENOMEM;

	if (!err && fstatat(t->proc, "fd", &st, 0))
		err = -errno;
	if (!err) {
		l->t = t;
		l->count = st.st_size; /* since 6.2; before that 0 */
		l->all_told = l->count && l->count == t->n_told_fds && l->count < FDS_MANY;
		if (l->count < MANY && !l->all_told)
			err = list_rest(l);
	}
	if (err) {
		free(l);
		log_errno(-err, "can't look at the descriptors of task %d", t->pid);
		return NULL;
	}
	see_all(l);
	t->asked_cloexec = l->count >= MANY && !l->all_seen && !t->threads[0].status.seccomp;
	sem_init(&l->room, 0, BATCHES);
	sem_init(&l->ready, 0, 0);
	/* names of mounts stand in fdinfo, too */
	l->locks_listed = t->asked_cloexec && !t->dump->opts->outside_count && locks_list_begin(t->dump);
	/* it looks as soon as it is there */
	l->threaded = count_unseen(l) >= MANY;
	if (l->threaded)
		l->threaded = !pthread_create(&l->thread, NULL, look_ahead, l);
	return l;
}

size_t looker_count(const struct looker *l)
{
	return l->count;
}

static void drop(struct fd_look *k)
{
	free(take_ptr(k->text));
	free(take_ptr(k->own_link));
	cleanup_close(&k->fd);
	k->fd = -1;
}

/* Takes the rest of a batch away, and its place in the ring is free. */
static void drop_batch(struct looker *l)
{
	struct batch *b = &l->ring[l->out++ % BATCHES];

	for (size_t i = 0; i < b->n; i++)
		drop(&b->looks[i]);
	sem_post(&l->room);
}

/* The batch in turn. */
static struct batch *take_batch(struct looker *l)
{
	struct batch *b = &l->ring[l->out % BATCHES];

	if (l->threaded)
		sem_wait(&l->ready);
	else
		fill(l, b, 1);
	l->taken = true;
	l->at = 0;
	return b;
}

struct fd_look *looker_next(struct looker *l)
{
	struct batch *b = &l->ring[l->out % BATCHES];

	if (l->taken && l->at == b->n) {
		drop_batch(l);
		l->taken = false;
	}
	if (!l->taken)
		b = take_batch(l);
	struct fd_look *k = &b->looks[l->at++];
	return is_there(k) ? k : NULL;
}

void looker_end(struct looker *l)
{
	l->stop = true;
	if (l->taken)
		drop_batch(l);
	if (l->threaded) {
		sem_post(&l->room); /* it may wait for that */
		pthread_join(l->thread, NULL);
		while (l->out < l->in)
			drop_batch(l);
	}
	sem_destroy(&l->room);
	sem_destroy(&l->ready);
	fd_seen_free(&l->seen);
	free(l->list);
	free(l);
}
