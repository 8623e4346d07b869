/*
 * Looks at the descriptors of a task through duplicates (pidfd_getfd(2)), which share all state with them and change
 * none. Where there are many, a second thread looks ahead; what is in fdinfo only is not read where nothing can be in
 * it: that takes longer than all else. Nor are they listed: /proc makes an inode for each name.
 * Not seen among many descriptors: flock(2) of a pipe or a socket.
 */
#include "fd_look.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"

#define MANY 256
#define AHEAD 32 /* at most; each is a descriptor of ours */

struct looker {
	struct dump_task *t;
	size_t count, found;
	int number; /* to try next */
	int *list; /* NULL: all numbers are tried. Owned */
	bool threaded, current; /* one was handed out */
	pthread_t thread;
	sem_t room, ready; /* places in the ring */
	atomic_bool stop;
	struct fd_look ring[AHEAD];
	size_t in, out; /* looks that were put there, and taken */
};

int fd_look_at_text(int proc, struct fd_look *k)
{
	unsigned long pos;
	unsigned int flags;
	char name[32];

	snprintf(name, sizeof(name), "fdinfo/%d", k->number);
	int err = proc_read(proc, name, &k->text, NULL);
	if (!err && sscanf(k->text, "pos: %lu flags: %o", &pos, &flags) != 2)
		err = -EBADMSG;
	if (err)
		return err;
	k->pos = pos;
	k->flags = flags & ~O_CLOEXEC;
	k->cloexec = flags & O_CLOEXEC;
	return 0;
}

/* A pipe or a socket has no position; whether the descriptor survives execve(2) the task can be asked. */
static int look_at(struct looker *l, struct fd_look *k)
{
	if (fstat(k->fd, &k->st))
		return -errno;
	if (!l->t->asked_cloexec || !(S_ISFIFO(k->st.st_mode) || S_ISSOCK(k->st.st_mode)))
		return fd_look_at_text(l->t->proc, k);
	int flags = fcntl(k->fd, F_GETFL);
	k->flags = flags & ~O_CLOEXEC;
	return flags < 0 ? -errno : 0;
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

/* Looks at the next one. Returns false when there is none. */
static bool look(struct looker *l, struct fd_look *k)
{
	*k = (struct fd_look){ .fd = -1 };
	while (l->found < l->count && k->fd < 0 && !k->err) {
		if (!l->list && (size_t)l->number > 2 * l->found + MANY && (k->err = list_rest(l)))
			break;
		k->number = l->list ? l->list[l->number + l->found] : l->number++;
		k->fd = pidfd_getfd(l->t->pidfd, k->number, 0);
		if (k->fd < 0 && (l->list || errno != EBADF))
			k->err = -errno;
		else if (k->fd >= 0)
			k->err = look_at(l, k);
	}
	l->found++;
	if (k->err)
		log_errno(-k->err, "can't look at fd %d of task %d", k->number, l->t->pid);
	return k->fd >= 0 || k->err;
}

static void *look_ahead(void *looker)
{
	struct looker *l = looker;
	bool more = true;

	while (more) {
		sem_wait(&l->room);
		struct fd_look *k = &l->ring[l->in++ % AHEAD];

		more = !l->stop && look(l, k) && !k->err;
		sem_post(&l->ready);
	}
	return NULL;
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
		if (l->count < MANY)
			err = list_rest(l);
	}
	if (err) {
		free(l);
		log_errno(-err, "can't look at the descriptors of task %d", t->pid);
		return NULL;
	}
	t->asked_cloexec = l->count >= MANY && !t->threads[0].status.seccomp;
	for (size_t i = 0; i < AHEAD; i++)
		l->ring[i].fd = -1;
	sem_init(&l->room, 0, AHEAD);
	sem_init(&l->ready, 0, 0);
	l->threaded = l->count >= MANY && !pthread_create(&l->thread, NULL, look_ahead, l);
	return l;
}

size_t looker_count(const struct looker *l)
{
	return l->count;
}

/* Takes the current one away. */
static void drop(struct looker *l)
{
	struct fd_look *k = &l->ring[l->out++ % AHEAD];

	free(take_ptr(k->text));
	cleanup_close(&k->fd);
	k->fd = -1;
	sem_post(&l->room);
}

struct fd_look *looker_next(struct looker *l)
{
	if (l->current)
		drop(l);
	struct fd_look *k = &l->ring[l->out % AHEAD];
	if (l->threaded)
		sem_wait(&l->ready);
	else
		look(l, k);
	l->current = true;
	return k->fd >= 0 || k->err ? k : NULL;
}

void looker_end(struct looker *l)
{
	l->stop = true;
	if (l->current)
		drop(l);
	sem_post(&l->room); /* it may wait for that */
	if (l->threaded)
		pthread_join(l->thread, NULL);
	while (l->threaded && l->out < l->in)
		drop(l);
	sem_destroy(&l->room);
	sem_destroy(&l->ready);
	free(l->list);
	free(l);
}
