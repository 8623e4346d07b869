/*
 * File locks (filelocks.img): flock(2), POSIX and OFD locks and leases (fcntl(2)), as the "lock:" lines of fdinfo show
 * them. POSIX locks belong to a task, all others to an open file, of whose holders one is named. A lease that is being
 * broken is kept as such: its holder has its time to give it back again.
 *
 * They are dumped with --file-locks only, as with CRIU: between dump and restore nobody holds them.
 * Does not handle (judged): locks of files in flight.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "fd_look.h"
#include "file-lock.pb-c.h"
#include "image_consts.h"
#include "log.h"
#include "opts.h"
#include "proc_fdinfo.h"

#define AT_ONCE 16384 /* bytes: more than the kernel tells at once, which is a page */

/* Inodes that anybody has locked. */
struct lock_list {
	pthread_t reader;
	bool complete; /* false: there may be others */
	size_t n;
	uint64_t inodes[AT_ONCE / 32]; /* a line is longer */
};

struct locks {
	size_t n;
	struct lock {
		struct fdinfo_lock info;
		const struct dump_file *file;
		const struct dump_task *task;
		int fd;
	} * list; /* owned */
};

static bool is_known(const struct locks *all, const struct lock *l)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct lock *k = &all->list[i];

		if (k->file == l->file && k->task == l->task && k->info.kind == LOCK_KIND_POSIX &&
		    k->info.start == l->info.start && k->info.len == l->info.len && k->info.type == l->info.type)
			return true;
	}
	return false;
}

static int add(struct dump *d, const struct lock *l)
{
	if (!d->locks)
		d->locks = calloc(1, sizeof(*d->locks));
	if (!d->locks)
		return -ENOMEM;
	/* A duplicate of its descriptor shows a POSIX lock once more. */
	if (l->info.kind == LOCK_KIND_POSIX && is_known(d->locks, l))
		return 0;
	struct lock *list = realloc(d->locks->list, (d->locks->n + 1) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	d->locks->list = list;
	list[d->locks->n++] = *l;
	return 0;
}

int locks_collect(const struct dump_task *t, const struct dump_file *f, int fd, const char *text, bool first)
{
	struct lock l = { .file = f, .task = t, .fd = fd };

	/* not "memlock:" of a BPF map */
	for (const char *at = strstr(text, "\nlock:"); at; at = strstr(at + 1, "\nlock:")) {
		int err = fdinfo_parse_lock(at + 1, &l.info);

		if (!err && (first || l.info.kind == LOCK_KIND_POSIX))
			err = add(t->dump, &l);
		if (err)
			return log_errno(-err, "lock of fd %d of task %d", fd, t->pid);
	}
	return 0;
}

/* The inode in a line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 123 08:01:4711 0 EOF". Returns false without one. */
static bool parse_inode(const char *line, uint64_t *ino)
{
	for (const char *word = line; *word && *word != '\n'; word += strcspn(word, " \n")) {
		word += strspn(word, " ");
		if (sscanf(word, "%*x:%*x:%" SCNu64, ino) == 1)
			return true;
	}
	return false;
}

static bool parse_list(const char *text, struct lock_list *l)
{
	for (const char *line = text, *end; *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end || l->n == sizeof(l->inodes) / sizeof(l->inodes[0]) || !parse_inode(line, &l->inodes[l->n]))
			return false;
		l->n++;
	}
	return true;
}

/* What the kernel does not tell at once may change in between. */
static void *read_list(void *list)
{
	struct lock_list *l = list;
	char text[AT_ONCE];
	_cleanup_close_ int fd = open("/proc/locks", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (n < 0 || read(fd, text + n, 1))
		return NULL;
	text[n] = 0;
	l->complete = parse_list(text, l);
	return NULL;
}

bool locks_list_begin(struct dump *d)
{
	if (d->lock_list)
		return true;
	/* Elsewhere those of processes that have ended are not listed. */
	if (!in_first_pid_namespace())
		return false;
	d->lock_list = calloc(1, sizeof(*d->lock_list));
	if (d->lock_list && !pthread_create(&d->lock_list->reader, NULL, read_list, d->lock_list))
		return true;
	free(take_ptr(d->lock_list));
	return false;
}

static void end_list(struct dump *d)
{
	if (d->lock_list)
		pthread_join(d->lock_list->reader, NULL);
	free(take_ptr(d->lock_list));
}

/* Of files that cannot be told apart from locked ones, those are looked at that usually have locks. */
static bool may_have_lock(const struct lock_list *l, const struct dump_file *f)
{
	bool found = !l->complete && S_ISREG(f->st.st_mode);

	for (size_t i = 0; i < l->n && !found; i++)
		found = l->inodes[i] == f->st.st_ino;
	return found;
}

static int look_again(struct dump_task *t, const struct dump_fd *fd)
{
	struct fd_look k = { .number = fd->fd };
	int err = fd_look_at_text(t->proc, &k);

	if (err)
		return log_errno(-err, "can't look at fd %d of task %d", fd->fd, t->pid);
	err = locks_collect(t, fd->file, fd->fd, k.text, fd->file->pid == t->pid && fd->file->number == fd->fd);
	free(k.text);
	return err;
}

int locks_collect_rest(struct dump *d)
{
	int err = 0;

	if (!d->lock_list)
		return 0;
	pthread_join(d->lock_list->reader, NULL);
	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		struct dump_task *t = d->tasks[i];

		for (size_t j = 0; t->state != TASK_DEAD && t->files_of == t && j < t->n_fds && !err; j++)
			if (t->fds[j].unread && may_have_lock(d->lock_list, t->fds[j].file))
				err = look_again(t, &t->fds[j]);
	}
	free(take_ptr(d->lock_list));
	return err;
}

static const char *kind_name(uint32_t kind)
{
	return kind == LOCK_KIND_FLOCK	 ? "flock"
	       : kind == LOCK_KIND_POSIX ? "POSIX"
	       : kind == LOCK_KIND_OFD	 ? "OFD"
	       : kind == LOCK_KIND_LEASE ? "lease"
					 : "unknown";
}

/* Whether another one of the same kind was told: POSIX locks may be many ranges. */
static bool is_told(const struct dump *d, size_t n)
{
	const struct lock *list = d->locks->list;

	for (size_t i = 0; i < n; i++)
		if (list[i].file == list[n].file && list[i].task == list[n].task &&
		    list[i].info.kind == list[n].info.kind)
			return true;
	return false;
}

int locks_judge(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; d->locks && i < d->locks->n && !err; i++) {
		const struct lock *l = &d->locks->list[i];
		const char *path = l->file->link;
		char reason[PATH_MAX + 96];

		if (is_told(d, i))
			continue;
		snprintf(reason, sizeof(reason), "%s has a lock of the kind %s", path, kind_name(l->info.kind));
		if (!l->info.kind)
			err = blocker_add(d, l->task->pid, "file lock", reason, "release it before the dump", "fd %d",
					  l->fd);
		else if (l->file->in_flight)
			err = blocker_add(d, l->task->pid, "file lock", reason,
					  "receive the descriptor before the dump", "%s", l->file->where);
		else if (!d->opts->file_locks)
			err = blocker_add(d, l->task->pid, "file lock", reason,
					  "--file-locks, if nobody else takes it until the restore", "fd %d", l->fd);
	}
	return err;
}

static const struct dump_fd *find_fd(const struct dump_task *t, const struct dump_file *f)
{
	for (size_t i = 0; t && i < t->n_fds; i++)
		if (t->fds[i].file == f)
			return &t->fds[i];
	return NULL;
}

static void put(struct image_writer *w, const struct dump *d, const struct lock *l)
{
	FileLockEntry e = FILE_LOCK_ENTRY__INIT;
	/* Who set it, if that one still holds the file: the kernel shows its number. */
	const struct dump_task *setter = dump_task_by_pid(d, l->info.pid);
	const struct dump_fd *fd = find_fd(setter, l->file);

	e.flag = l->info.kind;
	e.type = l->info.type;
	e.pid = fd ? setter->pid : l->task->pid;
	e.fd = fd && setter != l->task ? fd->fd : l->fd;
	e.start = l->info.start;
	e.len = l->info.len;
	image_put(w, &e.base);
}

int locks_write(struct dump *d)
{
	struct image_writer w;

	if (!d->locks)
		return 0;
	image_create(&w, &d->images, IMG_FILE_LOCKS, 0);
	for (size_t i = 0; i < d->locks->n; i++)
		put(&w, d, &d->locks->list[i]);
	return image_close(&w);
}

void locks_free(struct dump *d)
{
	end_list(d);
	if (d->locks)
		free(d->locks->list);
	free(d->locks);
	d->locks = NULL;
}
