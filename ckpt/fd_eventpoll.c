/*
 * epoll(7): what is watched, for what, with which data. The kernel keeps a watch by its open file and by the
 * number that this had when it was added; both may differ from what the task has now, when it closed or duplicated
 * descriptors since. KCMP_EPOLL_TFD (kcmp(2)) tells which open file it is.
 *
 * Not kept: that an edge was seen already (EPOLLET), and that a watch has fired (EPOLLONESHOT): hang-ups and
 * errors are reported again.
 */
#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dump.h"
#include "eventpoll.pb-c.h"
#include "log.h"
#include "proc_fdinfo.h"

struct epoll_state {
	size_t n;
	struct watch {
		struct fdinfo_watch info;
		const struct dump_file *target; /* NULL: not in the tree */
		int number; /* a descriptor of the holder that refers to it; -1: it has none */
	} list[];
};

static bool match(const struct fd_info *info)
{
	return !strcmp(info->link, "anon_inode:[eventpoll]");
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct fdinfo_watch *list;
	size_t n;
	int err = fdinfo_parse_epoll(info->text, &list, &n);

	if (err)
		return log_errno(-err, "fdinfo of fd %d of task %d, an epoll descriptor", f->number, f->pid);
	struct epoll_state *e = calloc(1, sizeof(*e) + n * sizeof(*e->list));
	if (e) {
		e->n = n;
		for (size_t i = 0; i < n; i++)
			e->list[i] = (struct watch){ .info = list[i], .number = -1 };
	}
	f->data = e;
	free(list);
	return e ? 0 : log_errno(ENOMEM, "fd %d of task %d", f->number, f->pid);
}

/* nth: of those that were added under the same number. */
static bool is_target(const struct dump_file *epoll, int number, unsigned int nth, pid_t pid, int fd)
{
	struct kcmp_epoll_slot slot = { .efd = epoll->number, .tfd = number, .toff = nth };

	return !syscall(SYS_kcmp, pid, epoll->member, KCMP_EPOLL_TFD, fd, &slot);
}

/* The open file that is watched: as a rule what the holder has under that number. */
static const struct dump_file *find_target(const struct dump *d, const struct dump_file *epoll, const struct watch *w,
					   unsigned int nth)
{
	const struct dump_task *holder = dump_task_by_pid(d, epoll->pid);

	for (size_t i = 0; i < holder->n_fds; i++)
		if (holder->fds[i].fd == w->info.fd &&
		    is_target(epoll, w->info.fd, nth, epoll->member, holder->fds[i].fd))
			return holder->fds[i].file;
	for (const struct dump_file *f = files_next(d, NULL); f; f = files_next(d, f))
		if (f->number >= 0 && f->st.st_ino == w->info.ino &&
		    is_target(epoll, w->info.fd, nth, f->member, f->number))
			return f;
	return NULL;
}

/* Which descriptor of the holder refers to the file: the one of the watch, if that still does. */
static int find_number(const struct dump *d, const struct dump_file *epoll, const struct watch *w)
{
	const struct dump_task *holder = dump_task_by_pid(d, epoll->pid);
	int number = -1;

	for (size_t i = 0; w->target && i < holder->n_fds; i++)
		if (holder->fds[i].file == w->target && (number < 0 || holder->fds[i].fd == w->info.fd))
			number = holder->fds[i].fd;
	return number;
}

static int judge_epoll(struct dump *d, const struct dump_file *f)
{
	struct epoll_state *e = f->data;
	int err = 0;

	for (size_t i = 0; i < e->n && !err; i++) {
		struct watch *w = &e->list[i];
		unsigned int nth = 0;

		for (size_t j = 0; j < i; j++)
			nth += e->list[j].info.fd == w->info.fd;
		w->target = find_target(d, f, w, nth);
		w->number = find_number(d, f, w);
		if (!w->target)
			err = blocker_add(d, f->pid, "epoll watch",
					  "it watches a file that no descriptor of the tree refers to any more",
					  "remove the watch (EPOLL_CTL_DEL) before closing, or dump whoever else holds "
					  "the file, too",
					  "%s, watch of fd %d", f->where, w->info.fd);
	}
	return err;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	const struct epoll_state *now = f->data;
	EventpollFileEntry *to = arena_get(arena, sizeof(*to));
	EventpollTfdEntry *watches = arena_get(arena, now->n * sizeof(*watches) + 1);

	if (!to || !watches)
		return -ENOMEM;
	eventpoll_file_entry__init(to);
	to->tfd = arena_get(arena, now->n * sizeof(*to->tfd) + 1);
	if (!to->tfd)
		return -ENOMEM;
	to->id = f->id;
	to->flags = f->flags;
	to->fown = (FownEntry *)&f->fown;
	for (size_t i = 0; i < now->n; i++) {
		const struct watch *w = &now->list[i];
		EventpollTfdEntry *t = to->tfd[to->n_tfd++] = &watches[i];

		eventpoll_tfd_entry__init(t);
		t->id = f->id;
		t->tfd = w->number >= 0 ? w->number : w->info.fd;
		t->events = w->info.events;
		t->data = w->info.data;
		t->has_dev = t->has_inode = t->has_pos = true;
		t->dev = w->info.dev;
		t->inode = w->info.ino;
		t->pos = w->info.pos;
		t->has_file_id = t->has_number = true;
		t->file_id = w->target->id;
		t->number = w->info.fd;
	}
	e->epfd = to;
	return 0;
}

const struct dump_fd_kind dump_fd_eventpoll = {
	.name = "epoll",
	.type = FD_TYPES__EVENTPOLL,
	.match = match,
	.collect = collect,
	.judge = judge_epoll,
	.fill = fill,
};
