/*
 * fanotify(7): a group and its marks on files, mounts and file systems. The kernel tells inode and file handle of a
 * file (watched_file.c), the number of a mount, the device of a file system; their paths are in mountinfo.
 *
 * Events that nobody has read are lost, as with CRIU: that is told. Does not handle (judged): files whose path is not
 * found, hidden mounts, marks on mount namespaces. Who decides on accesses of others (permission events) is not even
 * looked at further: while it stands still, so would we, at the first file that we open.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cleanup.h"
#include "dump.h"
#include "file_handle.h"
#include "fsnotify.pb-c.h"
#include "kernel_abi.h"
#include "log.h"
#include "proc_fdinfo.h"
#include "watched_file.h"

struct fanotify_state {
	struct fdinfo_fanotify info;
	struct mark {
		struct watched_file file; /* its path; or that of the mount */
		uint32_t dev; /* of that */
	} * marks; /* of each in info */
};

static bool match(const struct fd_info *info)
{
	return !strcmp(info->link, "anon_inode:[fanotify]");
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct fanotify_state *state = calloc(1, sizeof(*state));

	f->data = state;
	if (!state)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	int err = fdinfo_parse_fanotify(info->text, &state->info);
	if (err)
		return log_errno(-err, "fdinfo of %s of task %d, a fanotify group", f->where, f->pid);
	state->marks = calloc(state->info.n + 1, sizeof(*state->marks));
	if (!state->marks)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	for (size_t i = 0; i < state->info.n; i++) {
		if (!(state->info.marks[i].file.mask & FANOTIFY_PERMISSIONS))
			continue;
		log_err("task %d, %s: fanotify group: it decides on accesses to files (permission events), so nobody "
			"can "
			"open them while it stands still, not even ckpt. Remedy: stop the program that scans files "
			"before "
			"the dump",
			f->pid, f->where);
		return -ENOTSUP;
	}
	watched_file_warn(f, info->fd, "fanotify");
	return 0;
}

static bool is_mark(const struct fanotify_mark_info *m, const char *path, uint32_t mount, uint32_t dev)
{
	struct statx st;

	if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_MNT_ID, &st))
		return false;
	if (m->type == FANOTIFY_MOUNT) /* since 5.8 it is known whether another one is mounted over it */
		return m->mount == mount && (!(st.stx_mask & STATX_MNT_ID) || st.stx_mnt_id == mount);
	return m->file.dev == dev && (st.stx_dev_major << 20 | st.stx_dev_minor) == dev;
}

/* The place of a mount, or of any of a file system. */
static int find_mount(const struct fanotify_mark_info *m, struct mark *mark)
{
	_cleanup_fclose_ FILE *mounts = fopen("/proc/self/mountinfo", "re");
	char line[2 * PATH_MAX], path[PATH_MAX];
	unsigned int id, major, minor;

	while (mounts && !mark->file.path && fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%u %*d %u:%u %*s %4095s", &id, &major, &minor, path) != 4)
			continue;
		mountinfo_unescape(path);
		mark->dev = major << 20 | minor;
		if (is_mark(m, path, id, mark->dev)) {
			mark->file.path = strdup(path);
			return mark->file.path ? 0 : log_errno(ENOMEM, "the path of a mount");
		}
	}
	return 0;
}

static int judge_mount(struct dump *d, const struct dump_file *f, const struct fanotify_mark_info *m, struct mark *mark)
{
	char reason[128];
	int err = find_mount(m, mark);

	if (err || mark->file.path)
		return err;
	if (m->type == FANOTIFY_MOUNT)
		snprintf(reason, sizeof(reason), "it watches mount %u, which is hidden or unmounted", m->mount);
	else
		snprintf(reason, sizeof(reason), "it watches device %x:%x, which is not mounted where it can be seen",
			 m->file.dev >> 20, m->file.dev & 0xfffff);
	return blocker_add(d, f->pid, "fanotify mark", reason, "remove the mark before the dump", "%s", f->where);
}

static int judge_fanotify(struct dump *d, const struct dump_file *f)
{
	struct fanotify_state *state = f->data;
	int err = 0;

	for (size_t i = 0; i < state->info.n && !err; i++) {
		const struct fanotify_mark_info *m = &state->info.marks[i];

		if (m->type == FANOTIFY_INODE)
			err = watched_file_judge(d, f, &m->file, &state->marks[i].file, "fanotify mark", f->where);
		else if (m->type != FANOTIFY_OTHER)
			err = judge_mount(d, f, m, &state->marks[i]);
		else
			err = blocker_add(d, f->pid, "fanotify mark",
					  "what it watches (a mount namespace?) is not supported yet",
					  "remove the mark before the dump", "%s", f->where);
	}
	return err;
}

static int fill_mark(const struct fanotify_mark_info *m, const struct mark *mark, FanotifyMarkEntry *e,
		     struct arena *arena)
{
	fanotify_mark_entry__init(e);
	e->mflags = m->mflags;
	e->mask = m->file.mask;
	e->ignored_mask = m->file.ignored_mask;
	e->s_dev = m->type == FANOTIFY_INODE ? m->file.dev : mark->dev;
	if (m->type == FANOTIFY_INODE) {
		e->type = MARK_TYPE__INODE;
		e->ie = arena_get(arena, sizeof(*e->ie));
		if (!e->ie)
			return -ENOMEM;
		fanotify_inode_mark_entry__init(e->ie);
		e->ie->i_ino = m->file.ino;
		e->ie->f_handle = watched_file_handle(&m->file, &mark->file, arena);
		return e->ie->f_handle ? 0 : -ENOMEM;
	}
	e->type = m->type == FANOTIFY_MOUNT ? MARK_TYPE__MOUNT : MARK_TYPE__FILESYSTEM;
	e->me = arena_get(arena, sizeof(*e->me));
	if (!e->me)
		return -ENOMEM;
	fanotify_mount_mark_entry__init(e->me);
	e->me->mnt_id = m->mount;
	e->me->path = arena_strdup(arena, mark->file.path);
	return e->me->path ? 0 : -ENOMEM;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	const struct fanotify_state *state = f->data;
	FanotifyFileEntry *to = arena_get(arena, sizeof(*to));
	FanotifyMarkEntry *marks = arena_get(arena, state->info.n * sizeof(*marks) + 1);

	if (!to || !marks)
		return -ENOMEM;
	fanotify_file_entry__init(to);
	to->mark = arena_get(arena, state->info.n * sizeof(*to->mark) + 1);
	if (!to->mark)
		return -ENOMEM;
	to->id = f->id;
	to->flags = f->flags;
	to->fown = (FownEntry *)&f->fown;
	to->faflags = state->info.flags;
	to->evflags = state->info.event_flags;
	for (size_t i = 0; i < state->info.n; i++) {
		int err = fill_mark(&state->info.marks[i], &state->marks[i], &marks[i], arena);

		if (err)
			return err;
		to->mark[to->n_mark++] = &marks[i];
	}
	e->ffy = to;
	return 0;
}

static void forget(void *data)
{
	struct fanotify_state *state = data;

	for (size_t i = 0; state && state->marks && i < state->info.n; i++)
		free(state->marks[i].file.path);
	if (!state)
		return;
	free(state->marks);
	free(state->info.marks);
}

const struct dump_fd_kind dump_fd_fanotify = {
	.name = "fanotify",
	.type = FD_TYPES__FANOTIFY,
	.match = match,
	.collect = collect,
	.judge = judge_fanotify,
	.fill = fill,
	.forget = forget,
};
