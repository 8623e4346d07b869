/*
 * Descriptors of the tree, and the registry of open file descriptions behind them: each is described once,
 * however many descriptors and tasks share it (kcmp(2) KCMP_FILE tells).
 *
 * What a descriptor refers to is the business of the kinds (fd_KIND.c, include/fd_kinds.def).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "descriptions.h"
#include "dump.h"
#include "fd_look.h"
#include "fd_seen.h"
#include "inode_table.h"
#include "kernel_look.h"
#include "log.h"
#include "unsupported.h"

#define MANY 2000 /* files that fill a large block of memory */
#define AT_ONCE 64 /* files that share a block of memory while they are written: it has to be cleared */
#define KINDS 32 /* more than there are */

struct files {
	struct dump_file **list; /* in the order of their ids, from 1 */
	size_t n;
	/* Of all files and their links. Those of many descriptors lie in huge pages, made in a tenth of the time. */
	struct arena arena, huge_arena;
	bool many;
	struct {
		const struct dump_fd_kind *kind; /* NULL: no more */
		struct dump_file *first, *last; /* of the kind; linked by next_of_kind */
	} kinds[KINDS];
	struct descriptions descriptions; /* files behind descriptors */
	void *links; /* tsearch(3): files behind exe, cwd, root and mappings */
	void *mappings; /* tsearch(3): what is known of files behind areas (struct mapping) */
	struct inode_table inodes;
	struct fd_links fd_links;
};

/* A file as /proc/PID/smaps names it, found already. */
struct mapping {
	uint64_t ino;
	dev_t dev;
	unsigned int flags;
	const char *name; /* of the area; owned by its task */
	struct dump_file *file;
};

static int compare_links(const void *a, const void *b)
{
	const struct dump_file *x = a, *y = b;

	LESS_MORE(x->st.st_ino, y->st.st_ino);
	LESS_MORE(x->st.st_dev, y->st.st_dev);
	LESS_MORE(x->flags, y->flags);
	return strcmp(x->link, y->link);
}

/* Room for one more in the list. */
static struct dump_file *new_file(struct files *files, const struct dump_file *probe)
{
	if (!(files->n & (files->n - 1))) {
		struct dump_file **list = realloc(files->list, (files->n ? files->n * 2 : 1) * sizeof(*list));

		if (!list)
			return NULL;
		files->list = list;
	}
	struct arena *arena = files->many ? &files->huge_arena : &files->arena;
	struct dump_file *f = arena_get(arena, sizeof(*f));
	if (!f)
		return NULL;
	*f = *probe;
	f->link = arena_strdup(arena, probe->link);
	return f->link ? f : NULL;
}

/* Makes a file from the probe, whose link is copied. Returns NULL without memory. */
static struct dump_file *add(struct dump *d, const struct dump_file *probe)
{
	struct dump_file *f = new_file(d->files, probe);

	if (!f)
		return NULL;
	d->files->list[d->files->n++] = f;
	f->id = d->files->n;
	return inode_table_add(&d->files->inodes, f) ? NULL : f;
}

/* The same for one behind a descriptor. */
static struct dump_file *add_description(struct dump *d, const struct dump_file *probe)
{
	struct dump_file *f = add(d, probe);

	return !f || descriptions_add(&d->files->descriptions, f) ? NULL : f;
}

/* Says of what kind a file is. */
static void set_kind(struct files *files, struct dump_file *f, const struct dump_fd_kind *kind)
{
	size_t i = 0;

	while (files->kinds[i].kind && files->kinds[i].kind != kind)
		i++;
	files->kinds[i].kind = kind;
	if (files->kinds[i].last)
		files->kinds[i].last->next_of_kind = f;
	else
		files->kinds[i].first = f;
	files->kinds[i].last = f;
	f->kind = kind;
}

int files_add_made(struct dump *d, const struct dump_fd_kind *kind, pid_t pid, const char *where, void *data)
{
	struct dump_file probe = { .pid = pid, .member = pid, .number = -1, .data = data, .link = "" };

	snprintf(probe.where, sizeof(probe.where), "%s", where);
	fown_entry__init(&probe.fown);
	struct dump_file *f = new_file(d->files, &probe);
	if (!f)
		return log_errno(ENOMEM, "%s of task %d", where, pid);
	d->files->list[d->files->n++] = f;
	f->id = d->files->n;
	set_kind(d->files, f, kind);
	return 0;
}

int files_add_second(struct dump *d, const struct dump_file *f, const struct dump_fd_kind *kind,
		     const struct fd_info *info, struct dump_file **second)
{
	struct dump_file probe = *f;

	probe.data = NULL;
	probe.next_of_kind = NULL;
	probe.in_flight = false; /* the descriptor belongs to the first */
	*second = new_file(d->files, &probe);
	if (!*second)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	d->files->list[d->files->n++] = *second;
	(*second)->id = d->files->n;
	set_kind(d->files, *second, kind);
	return kind->collect ? kind->collect(d, *second, info) : 0;
}

/* A file that is seen for the first time: finds its kind and lets it look. */
static int describe(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	for (size_t i = 0; dump_fd_kinds[i] && !f->kind; i++)
		if (dump_fd_kinds[i]->match(info))
			set_kind(d->files, f, dump_fd_kinds[i]);
	return f->kind && f->kind->collect ? f->kind->collect(d, f, info) : 0;
}

/* From Linux 5.2 on; 0: none, so one more than it says. */
static int eventfd_id(const char *text)
{
	const char *at = text ? strstr(text, "eventfd-id:") : NULL;

	return at ? atoi(at + strlen("eventfd-id:")) + 1 : 0;
}

/* A description that is seen for the first time. */
static int add_fd(struct dump_task *t, struct fd_look *k, struct dump_file *probe, struct dump_fd *entry)
{
	int err = fd_look_closer(&t->dump->files->fd_links, k);

	if (err)
		return log_errno(-err, "can't read the link and the owner of fd %d of task %d", k->number, t->pid);
	struct fd_info info = { t, k->number, k->fd, k->st, k->link, k->text, k->seen, k->flags, k->pos, k->alike };

	probe->link = (char *)k->link; /* that is copied */
	probe->fown = k->fown;
	snprintf(probe->where, sizeof(probe->where), "fd %d", k->number);
	entry->file = add_description(t->dump, probe);
	if (!entry->file)
		return log_errno(ENOMEM, "fd %d of task %d", k->number, t->pid);
	return describe(t->dump, entry->file, &info);
}

static int collect_fd(struct dump_task *t, struct fd_look *k, struct dump_fd *entry)
{
	struct dump_file probe = { .pid = t->pid,
				   .member = t->member,
				   .number = k->number,
				   .st = k->st,
				   .eventfd_id = k->eventfd_id ?: eventfd_id(k->text),
				   .address = k->address,
				   .flags = k->flags,
				   .pos = k->pos };
	struct dump_file *known = k->known;

	if (!known)
		known = descriptions_find(&t->dump->files->descriptions, &probe);
	if (!known && errno)
		return log_errno(errno, "fd %d of task %d", k->number, t->pid);
	entry->fd = k->number;
	entry->cloexec = k->cloexec;
	entry->unread = !k->text && !k->address;
	entry->file = known;
	int err = known ? 0 : add_fd(t, k, &probe, entry);
	return err || !k->text ? err : locks_collect(t, entry->file, k->number, k->text, !known);
}

struct dump_file *files_by_address(const struct dump *d, uint64_t address)
{
	const struct descriptions *all = &d->files->descriptions;
	const struct dump_file probe = { .address = address };

	return all->ordered ? NULL : descriptions_find(&d->files->descriptions, &probe);
}

static int collect_fds(struct dump_task *t)
{
	struct looker *l = looker_begin(t);
	int err = 0;

	if (!l)
		return -EIO;
	t->dump->files->many |= looker_count(l) >= MANY;
	t->fds = calloc(looker_count(l) + 1, sizeof(*t->fds));
	if (!t->fds)
		err = log_errno(ENOMEM, "descriptors of task %d", t->pid);
	for (struct fd_look *k; !err && (k = looker_next(l));) {
		err = k->err ? k->err : collect_fd(t, k, &t->fds[t->n_fds]);
		t->n_fds += !err;
	}
	looker_end(l);
	return err;
}

int files_collect_inside(struct dump_task *t)
{
	struct parasite_cloexec answer = {};
	uint32_t first = 0;
	int err = 0;

	for (size_t i = 0; t->asked_cloexec && i < t->n_fds && !err; i++) {
		uint32_t fd = t->fds[i].fd;

		if (!i || fd - first >= PARASITE_FDS) {
			first = fd;
			err = parasite_get_cloexec(&t->parasite, first, &answer);
		}
		t->fds[i].cloexec = answer.bits[(fd - first) / 64] >> (fd - first) % 64 & 1;
	}
	return err;
}

int files_add_in_flight(struct dump *d, const struct dump_file *socket, int fd, struct dump_file **file)
{
	struct fd_look k = { .number = fd };
	struct dump_task *t = dump_task_by_pid(d, socket->pid);
	_cleanup_close_ int own = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char link[PATH_MAX], name[32];

	*file = NULL;
	snprintf(name, sizeof(name), "fd/%d", fd);
	int err = own < 0 || fstat(fd, &k.st) ? -errno : proc_link(own, name, link, sizeof(link));
	if (!err)
		err = fd_look_at_text(own, &k);
	if (!err)
		err = fd_look_at_owner(fd, &k.fown);
	_cleanup_free_ char *text = k.text;
	struct fd_info info = { t, fd, fd, k.st, link, text, NULL, k.flags, k.pos, NULL };
	if (err) {
		close(fd);
		return log_errno(-err, "can't look at a descriptor in the queue of %s of task %d", socket->where,
				 socket->pid);
	}
	struct dump_file probe = { .pid = socket->pid,
				   .member = getpid(),
				   .number = fd,
				   .st = info.st,
				   .eventfd_id = eventfd_id(text),
				   .link = link,
				   .flags = info.flags,
				   .pos = info.pos,
				   .fown = k.fown,
				   .in_flight = true };
	*file = descriptions_find(&d->files->descriptions, &probe);
	if (*file || errno) {
		close(fd);
		return *file ? 0 : log_errno(errno, "%s of task %d", socket->where, socket->pid);
	}
	snprintf(probe.where, sizeof(probe.where), "in the queue of %.60s", socket->where);
	*file = add_description(d, &probe);
	if (!*file) {
		close(fd);
		return log_errno(ENOMEM, "%s of task %d", probe.where, socket->pid);
	}
	err = describe(d, *file, &info);
	return err ? err : locks_collect(t, *file, fd, text, true);
}

static int get_registry(struct dump *d)
{
	if (d->files)
		return 0;
	d->files = calloc(1, sizeof(*d->files));
	if (!d->files)
		return log_errno(ENOMEM, "registry of files");
	d->files->huge_arena.shared = d->files->huge_arena.huge = true;
	d->files->fd_links.own_fds = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return d->files->fd_links.own_fds < 0 ? log_errno(errno, "/proc/self/fd") : 0;
}

int files_collect(struct dump *d)
{
	int err = get_registry(d);

	for (size_t i = 0; i < d->n_tasks && !err; i++)
		if (d->tasks[i]->state != TASK_DEAD && d->tasks[i]->files_of == d->tasks[i])
			err = collect_fds(d->tasks[i]);
	for (size_t i = 0; i < d->n_tasks; i++) {
		d->tasks[i]->fds = d->tasks[i]->files_of->fds;
		d->tasks[i]->n_fds = d->tasks[i]->files_of->n_fds;
	}
	fds_forget_told(d);
	return err ? err : locks_collect_rest(d);
}

int files_add_link(struct dump_task *t, const char *link_name, unsigned int flags, struct dump_file **file)
{
	char link[PATH_MAX];
	struct dump_file probe = { .pid = t->pid, .member = t->member, .number = -1, .link = link, .flags = flags };
	int err = get_registry(t->dump);

	if (!err && fstatat(t->proc, link_name, &probe.st, 0))
		err = log_errno(errno, "can't look at /proc/%d/%s", t->pid, link_name);
	if (!err && (err = proc_link(t->proc, link_name, link, sizeof(link))))
		log_errno(-err, "can't read the link /proc/%d/%s", t->pid, link_name);
	if (err)
		return err;
	struct dump_file **known = tfind(&probe, &t->dump->files->links, compare_links);
	if (known) {
		*file = *known;
		return 0;
	}
	_cleanup_close_ int fd = openat(t->proc, link_name, O_PATH | O_CLOEXEC);
	struct fd_info info = { .task = t, .number = -1, .fd = fd, .st = probe.st, .link = link, .flags = flags };

	snprintf(probe.where, sizeof(probe.where), "%s%s", strncmp(link_name, "map_files/", 10) ? "" : "area ",
		 strncmp(link_name, "map_files/", 10) ? link_name : link_name + 10);
	fown_entry__init(&probe.fown);
	*file = fd < 0 ? NULL : add(t->dump, &probe);
	if (!*file || !tsearch(*file, &t->dump->files->links, compare_links))
		return log_errno(fd < 0 ? errno : ENOMEM, "/proc/%d/%s", t->pid, link_name);
	return describe(t->dump, *file, &info);
}

static int compare_mappings(const void *a, const void *b)
{
	const struct mapping *x = a, *y = b;

	LESS_MORE(x->ino, y->ino);
	LESS_MORE(x->dev, y->dev);
	LESS_MORE(x->flags, y->flags);
	return strcmp(x->name, y->name);
}

int files_add_mapping(struct dump_task *t, const struct vma *v, unsigned int flags, struct dump_file **file)
{
	struct mapping probe = { .ino = v->ino, .dev = v->dev, .flags = flags, .name = v->name };
	struct mapping **known = tfind(&probe, &t->dump->files->mappings, compare_mappings);
	char link[64];

	*file = known ? (*known)->file : NULL;
	if (known)
		return 0;
	snprintf(link, sizeof(link), "map_files/%lx-%lx", v->start, v->end);
	int err = files_add_link(t, link, flags, file);
	if (err)
		return err;
	struct mapping *m = malloc(sizeof(*m));
	if (!m)
		return log_errno(ENOMEM, "%s", link);
	*m = probe;
	m->file = *file;
	if (tsearch(m, &t->dump->files->mappings, compare_mappings))
		return 0;
	free(m);
	return log_errno(ENOMEM, "%s", link);
}

bool files_has_inode(const struct dump *d, const struct stat *st, int access_mode)
{
	const struct inode *i = inode_table_find(&d->files->inodes, st->st_dev, st->st_ino);

	return i && i->modes & (1u << access_mode | 1u << O_RDWR);
}

const struct dump_file *files_by_inode(const struct dump *d, dev_t dev, uint64_t ino)
{
	const struct inode *i = inode_table_find(&d->files->inodes, dev, ino);

	return i ? i->first : NULL;
}

struct dump_file *files_next(const struct dump *d, const struct dump_file *f)
{
	size_t next = f ? f->id : 0; /* ids begin with 1 */

	return next < d->files->n ? d->files->list[next] : NULL;
}

struct dump_file *files_next_of(const struct dump *d, const struct dump_fd_kind *kind, const struct dump_file *f)
{
	if (f)
		return f->next_of_kind;
	for (size_t i = 0; d->files && i < KINDS && d->files->kinds[i].kind; i++)
		if (d->files->kinds[i].kind == kind)
			return d->files->kinds[i].first;
	return NULL;
}

static int compare_inodes(const void *a, const void *b)
{
	const struct dump_file *const *x = a, *const *y = b;

	LESS_MORE((*x)->st.st_ino, (*y)->st.st_ino);
	LESS_MORE((*x)->st.st_dev, (*y)->st.st_dev);
	LESS_MORE((*x)->id, (*y)->id);
	return 0;
}

int files_each(struct dump *d, const struct dump_fd_kind *kind,
	       int (*fn)(struct dump *d, struct dump_file *f, void *arg), void *arg)
{
	size_t n = 0;
	int err = 0;

	for (struct dump_file *f = files_next_of(d, kind, NULL); f; f = files_next_of(d, kind, f))
		n++;
	_cleanup_free_ struct dump_file **list = malloc(n * sizeof(*list) + 1);
	if (!list)
		return log_errno(ENOMEM, "files");
	n = 0;
	for (struct dump_file *f = files_next_of(d, kind, NULL); f; f = files_next_of(d, kind, f))
		list[n++] = f;
	qsort(list, n, sizeof(*list), compare_inodes);
	for (size_t i = 0; i < n && !err; i++)
		err = fn(d, list[i], arg);
	return err;
}

int files_get(const struct dump *d, const struct dump_file *f)
{
	const struct dump_task *t = dump_task_by_pid(d, f->pid);
	bool known = t && f->member == t->member;
	_cleanup_close_ int pidfd = known ? -1 : open_pidfd(f->member);
	int fd = pidfd < 0 && !known ? -1 : pidfd_getfd(known ? t->pidfd : pidfd, f->number, 0);

	return fd < 0 ? log_errno(errno, "can't get fd %d of task %d", f->number, f->pid) : fd;
}

int files_judge(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->files->n && !err; i++) {
		const struct dump_file *f = d->files->list[i];

		if (!f->kind)
			err = unsupported_judge(d, f);
		else if (f->kind->judge)
			err = f->kind->judge(d, f);
	}
	return err ? err : locks_judge(d);
}

static int write_fdinfo(const struct dump_task *t)
{
	struct image_writer w;

	image_create(&w, &t->dump->images, IMG_FDINFO, t->ids);
	for (size_t i = 0; i < t->n_fds; i++) {
		const struct dump_fd *fd = &t->fds[i];
		FdinfoEntry e = FDINFO_ENTRY__INIT;

		e.id = fd->file->id;
		e.flags = fd->cloexec ? FD_CLOEXEC : 0;
		e.type = fd->file->kind->type;
		e.fd = fd->fd;
		image_put(&w, &e.base);
	}
	return image_close(&w);
}

int files_write(struct dump *d)
{
	_cleanup_arena_ struct arena arena = {};
	struct image_writer w;
	int err = 0;

	image_create(&w, &d->images, IMG_FILES, 0);
	for (size_t i = 0; i < d->files->n && !err; i++) {
		const struct dump_file *f = d->files->list[i];
		FileEntry e = FILE_ENTRY__INIT;

		if (i % AT_ONCE == 0)
			arena_free(&arena);

		e.id = f->id;
		e.type = f->kind->type;
		err = f->kind->fill(d, f, &e, &arena);
		if (!err)
			image_put(&w, &e.base);
	}
	int closed = image_close(&w);
	return err ? err : closed;
}

int files_write_kinds(struct dump *d)
{
	int err = locks_write(d);

	for (size_t i = 0; dump_fd_kinds[i] && !err; i++)
		err = dump_fd_kinds[i]->write ? dump_fd_kinds[i]->write(d) : 0;
	return err;
}

int files_write_fds(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++)
		if (d->tasks[i]->state != TASK_DEAD && d->tasks[i]->files_of == d->tasks[i])
			err = write_fdinfo(d->tasks[i]);
	return err;
}

static void free_nothing(void *node)
{
}

void files_free(struct dump *d)
{
	if (!d->files)
		return;
	descriptions_free(&d->files->descriptions);
	tdestroy(d->files->links, free_nothing);
	tdestroy(d->files->mappings, free);
	for (size_t i = 0; i < d->files->n; i++) {
		if (d->files->list[i]->in_flight)
			close(d->files->list[i]->number);
		if (d->files->list[i]->kind && d->files->list[i]->kind->forget)
			d->files->list[i]->kind->forget(d->files->list[i]->data);
		free(d->files->list[i]->data);
	}
	arena_free(&d->files->arena);
	arena_free(&d->files->huge_arena);
	free(d->files->inodes.list);
	if (d->files->fd_links.own_fds >= 0)
		close(d->files->fd_links.own_fds);
	free(d->files->list);
	free(take_ptr(d->files));
}
