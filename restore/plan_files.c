/*
 * Files: every open file description (files.img), every descriptor (fdinfo-N.img), and who opens what.
 *
 * A description that several tasks hold is opened by their lowest common ancestor before it forks, and
 * reaches them by inheritance. So nothing is ever passed, and nobody waits for anybody.
 */
#include "plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "late_files.h"
#include "log.h"
#include "path_looks.h"

static const struct restore_fd_kind *find_kind(FdTypes type)
{
	for (size_t i = 0; restore_fd_kinds[i]; i++)
		if (restore_fd_kinds[i]->type == type)
			return restore_fd_kinds[i];
	return NULL;
}

static const char *type_name(FdTypes type)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(&fd_types__descriptor, type);

	return v ? v->name : "unknown";
}

static int compare_files(const void *a, const void *b)
{
	uint32_t x = ((const struct plan_file *)a)->id, y = ((const struct plan_file *)b)->id;

	return x < y ? -1 : x > y;
}

struct plan_file *plan_file_by_id(const struct plan *plan, uint32_t id)
{
	struct plan_file key = { .id = id };

	return plan->n_files ? bsearch(&key, plan->files, plan->n_files, sizeof(key), compare_files) : NULL;
}

/* Lets the kinds look at their files, after all are known. */
static int read_kinds(struct plan *plan)
{
	for (size_t k = 0; restore_fd_kinds[k]; k++) {
		const struct restore_fd_kind *kind = restore_fd_kinds[k];
		bool begun = false;

		for (size_t i = 0; i < plan->n_files; i++) {
			struct plan_file *file = &plan->files[i];
			int err = 0;

			if (file->kind != kind)
				continue;
			if (!begun && kind->begin)
				err = kind->begin(plan);
			begun = true;
			if (!err)
				err = kind->read(plan, file);
			if (err)
				return err;
			struct plan_file *with = kind->needs ? kind->needs(plan, file) : NULL;
			if (!with)
				continue;
			file->with = with->with;
			file->with_next = with->with->with_next;
			with->with->with_next = file;
		}
	}
	return 0;
}

int plan_read_files(struct plan *plan)
{
	FileEntry **entries;
	size_t n;
	int err = plan_read_all(plan, IMG_FILES, 0, &entries, &n);

	if (err == -ENOENT) {
		log_err("files.img is missing: the images are incomplete, or of a CRIU older than 3");
		return -EBADMSG;
	}
	if (!err) {
		err = plan_read_all(plan, IMG_MEMFD_INODE, 0, &plan->memfds, &plan->n_memfds);
		if (err == -ENOENT)
			err = 0;
	}
	plan->files = err ? NULL : plan_alloc(plan, (n + 1) * sizeof(*plan->files));
	if (!plan->files)
		return err ? err : -ENOMEM;
	plan->n_files = n;
	for (size_t i = 0; i < n; i++) {
		struct plan_file *file = &plan->files[i];

		*file = (struct plan_file){
			.id = entries[i]->id, .entry = entries[i], .fd = -1, .home = -1, .outside = -1
		};
		file->kind = find_kind(entries[i]->type);
	}
	plan_sort(plan->files, n, sizeof(*plan->files), compare_files);
	for (size_t i = 0; i < n; i++) {
		plan->files[i].with = &plan->files[i];
		if (i && plan->files[i].id == plan->files[i - 1].id) {
			log_err("files.img: two files have the id 0x%x", plan->files[i].id);
			return -EBADMSG;
		}
	}
	path_looks_begin(plan);
	return read_kinds(plan);
}

static void check_owner(struct plan *plan, const struct plan_task *task, const struct plan_fd *fd)
{
	const FownEntry *fown = fd->file->fown;

	if (!fown || !fown->pid)
		return;
	if (fown->pid_type > 2 || fown->signum > 64)
		plan_refuse(plan,
			    "descriptor %d of task %d: its owner has the type %u and gets the signal %u: out of range",
			    fd->fd, task->pid, fown->pid_type, fown->signum);
	/* A group (2) may consist of anybody; a foreign process that still lives is as good. */
	if (fown->pid_type < 2 && !plan_task_by_pid(plan, fown->pid))
		log_info("descriptor %d of task %d: its signals go to %u, which is not in the tree", fd->fd, task->pid,
			 fown->pid);
}

static void read_fd(struct plan *plan, struct plan_task *task, const FdinfoEntry *e, struct plan_fd *fd)
{
	*fd = (struct plan_fd){ .fd = e->fd, .cloexec = e->flags & 1, .file = plan_file_by_id(plan, e->id) };
	if (e->fd > INT32_MAX - 1 || e->flags & ~1u) {
		plan_refuse(plan, "fdinfo-%u.img: descriptor %u with flags 0x%x is out of range", task->files_id, e->fd,
			    e->flags);
		fd->file = NULL;
	} else if (!fd->file || fd->file->entry->type != e->type) {
		plan_refuse(
			plan,
			"fdinfo-%u.img: descriptor %d of task %d refers to file 0x%x, which files.img does not have "
			"or has with another type",
			task->files_id, fd->fd, task->pid, e->id);
		fd->file = NULL;
	} else if (!fd->file->kind) {
		plan_refuse(plan,
			    "descriptor %d of task %d is of the kind %s: not supported yet; close it before the dump, "
			    "or restore with CRIU",
			    fd->fd, task->pid, type_name(e->type));
		fd->file = NULL;
	} else {
		check_owner(plan, task, fd);
	}
}

static int compare_fds(const void *a, const void *b)
{
	int x = ((const struct plan_fd *)a)->fd, y = ((const struct plan_fd *)b)->fd;

	return x < y ? -1 : x > y;
}

int plan_read_fds(struct plan *plan, struct plan_task *task)
{
	FdinfoEntry **entries;
	size_t n;

	if (task->files_of != task) { /* it was read already */
		task->fds = task->files_of->fds;
		task->n_fds = task->files_of->n_fds;
		return 0;
	}
	int err = plan_read_all(plan, IMG_FDINFO, task->files_id, &entries, &n);

	if (err == -ENOENT) {
		log_err("fdinfo-%u.img of task %d is missing: the images are incomplete", task->files_id, task->pid);
		return -EBADMSG;
	}
	task->fds = err ? NULL : plan_alloc_fixed(plan, (n + 1) * sizeof(*task->fds));
	if (!task->fds)
		return err ? err : -ENOMEM;
	task->n_fds = n;
	for (size_t i = 0; i < n; i++)
		read_fd(plan, task, entries[i], &task->fds[i]);
	plan_sort(task->fds, n, sizeof(*task->fds), compare_fds);
	for (size_t i = 1; i < n; i++)
		if (task->fds[i].fd == task->fds[i - 1].fd)
			plan_refuse(plan, "fdinfo-%u.img: task %d has descriptor %d twice", task->files_id, task->pid,
				    task->fds[i].fd);
	return 0;
}

/* Tells the kinds who uses what: descriptors and mappings. */
static void tell_users(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_files; i++) {
		struct plan_file *file = &plan->files[i];
		struct plan_task *all = plan_common_ancestor(file->map[0].owner, file->map[1].owner);

		all = plan_common_ancestor(all, file->with->owner);
		if (all && file->kind && file->kind->used_by)
			file->kind->used_by(plan, file, all);
	}
}

void plan_join_files(struct plan_file *a, struct plan_file *b)
{
	struct plan_file *first = a->with, *others = b->with, *last = first;

	if (first == others)
		return;
	first->owner = plan_common_ancestor(first->owner, others->owner);
	while (last->with_next)
		last = last->with_next;
	last->with_next = others;
	for (struct plan_file *f = others; f; f = f->with_next)
		f->with = first;
}

/* Lets files find those that they refer to, and have these where they need them. */
static int resolve_files(struct plan *plan)
{
	bool moved = true;

	for (size_t i = 0; i < plan->n_files; i++) {
		const struct restore_fd_kind *kind = plan->files[i].kind;
		int err = kind && kind->resolve ? kind->resolve(plan, &plan->files[i]) : 0;

		if (err)
			return err;
	}
	/* Whoever refers to a file may be referred to himself. */
	while (moved) {
		moved = false;
		for (size_t i = 0; i < plan->n_files; i++)
			if (plan->files[i].kind && plan->files[i].kind->reach && plan->files[i].with->owner)
				moved |= plan->files[i].kind->reach(plan, &plan->files[i]);
	}
	return 0;
}

int plan_share_files(struct plan *plan)
{
	for (size_t i = 0; i < plan->n_tasks; i++) {
		struct plan_task *task = &plan->tasks[i];

		for (size_t f = 0; f < task->n_fds; f++) {
			struct plan_file *file = task->fds[f].file;

			if (!file)
				continue;
			file->first = file->first ? file->first : &task->fds[f];
			plan_check_file(plan, file);
			file->with->owner = plan_common_ancestor(file->with->owner, task);
		}
	}
	int err = resolve_files(plan);
	if (!err)
		tell_users(plan);
	return err ? err : late_find_users(plan);
}

bool plan_files_wait(const struct plan *plan)
{
	for (size_t i = 0; i < plan->n_files; i++) {
		const struct plan_file *file = &plan->files[i];

		if (file->with->owner && ((file->fown && file->fown->pid) || file->late))
			return true;
	}
	return false;
}

bool plan_find_holder(const struct plan *plan, const struct plan_file *file, char *path, size_t size)
{
	for (size_t i = 0; i < plan->n_tasks; i++) {
		const struct plan_task *task = &plan->tasks[i];

		for (size_t f = 0; f < task->n_fds; f++) {
			if (task->fds[f].file != file)
				continue;
			snprintf(path, size, "/proc/%d/fd/%d", task->pid, task->fds[f].fd);
			return true;
		}
		for (size_t a = 0; a < task->n_areas; a++) {
			const VmaEntry *v = task->areas[a].vma;

			if (task->areas[a].file != file)
				continue;
			snprintf(path, size, "/proc/%d/map_files/%lx-%lx", task->pid, (long)v->start, (long)v->end);
			return true;
		}
	}
	return false;
}
