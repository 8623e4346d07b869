/*
 * inotify(7): what is watched, for what, under which number. The kernel tells inode and file handle; the path is found
 * by opening the handle on a mount of that file system, among the files of the tree, or, where a file system has no
 * handles, by searching (--force-irmap, --irmap-scan-path). A watched file that was deleted is a ghost of the tree.
 *
 * Events that nobody has read are lost, as with CRIU: that is told.
 * Does not handle (judged): watches of files whose path is not found.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dump.h"
#include "fsnotify.pb-c.h"
#include "log.h"
#include "proc_fdinfo.h"
#include "watched_file.h"

struct inotify_state {
	size_t n;
	struct inotify_watch {
		struct fdinfo_inotify info;
		struct watched_file file;
	} * list; /* behind the struct */
};

static bool match(const struct fd_info *info)
{
	return !strcmp(info->link, "anon_inode:inotify");
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct fdinfo_inotify *list;
	size_t n;
	int err = fdinfo_parse_inotify(info->text, &list, &n);

	if (err)
		return log_errno(-err, "fdinfo of %s of task %d, an inotify descriptor", f->where, f->pid);
	struct inotify_state *state = calloc(1, sizeof(*state) + n * sizeof(*state->list));
	if (state) {
		state->list = (struct inotify_watch *)(state + 1);
		state->n = n;
		for (size_t i = 0; i < n; i++)
			state->list[i].info = list[i];
	}
	f->data = state;
	free(list);
	watched_file_warn(f, info->fd, "inotify");
	return state ? 0 : log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
}

static int judge_inotify(struct dump *d, const struct dump_file *f)
{
	struct inotify_state *state = f->data;
	char where[128];
	int err = 0;

	for (size_t i = 0; i < state->n && !err; i++) {
		struct inotify_watch *w = &state->list[i];

		snprintf(where, sizeof(where), "%s, watch %d", f->where, w->info.wd);
		err = watched_file_judge(d, f, &w->info, &w->file, "inotify watch", where);
	}
	return err;
}

static int fill_watch(const struct inotify_watch *w, InotifyWdEntry *e, struct arena *arena)
{
	inotify_wd_entry__init(e);
	e->i_ino = w->info.ino;
	e->s_dev = w->info.dev;
	e->mask = w->info.mask;
	e->ignored_mask = w->info.ignored_mask;
	e->wd = w->info.wd;
	e->f_handle = watched_file_handle(&w->info, &w->file, arena);
	return e->f_handle ? 0 : -ENOMEM;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	const struct inotify_state *state = f->data;
	InotifyFileEntry *to = arena_get(arena, sizeof(*to));
	InotifyWdEntry *watches = arena_get(arena, state->n * sizeof(*watches) + 1);

	if (!to || !watches)
		return -ENOMEM;
	inotify_file_entry__init(to);
	to->wd = arena_get(arena, state->n * sizeof(*to->wd) + 1);
	if (!to->wd)
		return -ENOMEM;
	to->id = f->id;
	to->flags = f->flags;
	to->fown = (FownEntry *)&f->fown;
	for (size_t i = 0; i < state->n; i++) {
		int err = fill_watch(&state->list[i], &watches[i], arena);

		if (err)
			return err;
		to->wd[to->n_wd++] = &watches[i];
	}
	e->ify = to;
	return 0;
}

static void forget(void *data)
{
	struct inotify_state *state = data;

	for (size_t i = 0; state && i < state->n; i++)
		free(state->list[i].file.path);
}

const struct dump_fd_kind dump_fd_inotify = {
	.name = "inotify",
	.type = FD_TYPES__INOTIFY,
	.match = match,
	.collect = collect,
	.judge = judge_inotify,
	.fill = fill,
	.forget = forget,
};
