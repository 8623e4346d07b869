/*
 * Terminals. A pseudo terminal of the tree is made again with its number: master, slaves, /dev/tty, what waited to be
 * read, settings. The descriptors whose terminal was hung up are opened first and hung up again. The terminal of a
 * shell job comes from outside: it is that which ckpt restore was started on, and gets its settings when nothing can
 * fail any more. Consoles and serial lines are opened again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "opts.h"
#include "outside.h"
#include "plan.h"
#include "tty.h"

#define PTMX_RDEV 0x502 /* 5:2 */
#define MAX_DATA (1u << 20) /* bytes */

/* The first of our standard descriptors that is a terminal. */
static int find_terminal(struct plan *plan)
{
	for (int fd = 0; fd < 3; fd++) {
		if (!isatty(fd))
			continue;
		plan->tty_fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		return plan->tty_fd < 0 ? log_errno(errno, "can't duplicate the terminal") : 0;
	}
	return 0;
}

static int tty_begin(struct plan *plan)
{
	struct ttys *ttys = plan_alloc(plan, sizeof(*ttys));
	int err = ttys ? plan_read_all(plan, IMG_TTY_INFO, 0, &ttys->list, &ttys->n) : -ENOMEM;

	if (!err || err == -ENOENT)
		err = plan_read_all(plan, IMG_TTY_DATA, 0, &ttys->data, &ttys->n_data);
	if (err == -ENOENT)
		err = 0;
	plan->ttys = ttys;
	return err ? err : find_terminal(plan);
}

static const TtyInfoEntry *find_info(const struct plan *plan, uint32_t id)
{
	const struct ttys *ttys = plan->ttys;

	for (size_t i = 0; i < ttys->n; i++)
		if (ttys->list[i]->id == id)
			return ttys->list[i];
	return NULL;
}

static const TtyDataEntry *find_data(const struct plan *plan, uint32_t id)
{
	const struct ttys *ttys = plan->ttys;

	for (size_t i = 0; i < ttys->n_data; i++)
		if (ttys->data[i]->tty_id == id)
			return ttys->data[i];
	return NULL;
}

/* The terminal with that number, made when there is none yet; NULL: no memory. */
static struct terminal *get_terminal(struct plan *plan, uint32_t index)
{
	struct ttys *ttys = plan->ttys;

	for (struct terminal *t = ttys->terminals; t; t = t->next)
		if (t->index == index)
			return t;
	struct terminal *t = plan_alloc(plan, sizeof(*t));
	if (!t)
		return NULL;
	*t = (struct terminal){
		.index = index, .any_index = true, .slave_fd = -1, .inherited = -1, .next = ttys->terminals
	};
	ttys->terminals = t;
	return t;
}

static bool is_winsize(const WinsizeEntry *w)
{
	return !w || (w->ws_row <= UINT16_MAX && w->ws_col <= UINT16_MAX && w->ws_xpixel <= UINT16_MAX &&
		      w->ws_ypixel <= UINT16_MAX);
}

static bool is_data(const TtyDataEntry *d)
{
	uint32_t last = 0;

	if (!d)
		return true;
	for (size_t i = 0; i < d->n_ends; i++) {
		if (d->ends[i] < last || d->ends[i] > d->data.len)
			return false;
		last = d->ends[i];
	}
	return d->data.len <= MAX_DATA;
}

/* One end of a pty. */
static int read_pty(struct plan *plan, struct plan_file *file)
{
	struct tty_file *s = tty_state(file);
	const TtyInfoEntry *info = s->info;

	if (!info->pty || info->pty->index >= TTY_MAX_INDEX || !is_winsize(info->winsize) ||
	    !is_data(find_data(plan, info->id))) {
		plan_refuse(plan, "tty-info.img: the number, the size or the data of terminal 0x%x are out of range",
			    file->id);
		return 0;
	}
	struct terminal *t = s->terminal = get_terminal(plan, info->pty->index);
	if (!t)
		return -ENOMEM;
	if (s->role == TTY_MASTER && t->master)
		plan_refuse(plan, "files.img: the master of terminal %u is there twice", t->index);
	if (s->role == TTY_MASTER) {
		t->master = info;
		t->output = find_data(plan, info->id);
	} else if (!s->hung_up) {
		t->slave = info;
		t->input = find_data(plan, info->id);
	}
	t->any_index &= s->hung_up;
	return 0;
}

/* The terminal that --inherit-fd gives for it. */
static int read_external(struct plan *plan, struct plan_file *file)
{
	struct tty_file *s = tty_state(file);
	const struct outside *given;
	char key[32];

	snprintf(key, sizeof(key), "tty[%x:%x]", s->info->rdev, s->info->dev);
	given = opts_find_outside(plan->opts, key, true);
	s->role = TTY_EXTERNAL;
	s->hung_up = false;
	s->terminal = &s->from_outside;
	s->from_outside = (struct terminal){ .outside = true, .slave_fd = -1, .inherited = -1, .slave = s->info };
	if (!given || !isatty(given->fd)) {
		plan_refuse_here(plan, "terminal 0x%x comes from outside: give one by --inherit-fd 'fd[N]:%s'%s",
				 file->id, key, given ? "; that descriptor is none" : "");
		return 0;
	}
	s->from_outside.inherited = outside_add(plan, given->fd);
	return s->from_outside.inherited < 0 ? -ENOMEM : 0;
}

/* A console or serial line: the machine has it, or not. That of a shell job is whatever ckpt was started on. */
static int read_device(struct plan *plan, struct plan_file *file)
{
	struct tty_file *s = tty_state(file);
	const TtyFileEntry *e = file->entry->tty;
	const struct plan_file *reg = e->has_regf_id ? plan_file_by_id(plan, e->regf_id) : NULL;
	struct stat st;

	s->role = TTY_DEVICE;
	s->hung_up = false;
	s->terminal = &s->from_outside;
	s->from_outside = (struct terminal){ .outside = true, .slave_fd = -1, .inherited = -1, .slave = s->info };
	if (plan->opts->shell_job && s->info->sid && !plan_task_by_pid(plan, s->info->sid))
		return 0;
	if (!reg || reg->entry->type != FD_TYPES__REG || !reg->entry->reg) {
		plan_refuse(plan, "files.img: terminal 0x%x has no path", file->id);
		return 0;
	}
	s->path = reg->entry->reg->name;
	if (stat(s->path, &st) || !S_ISCHR(st.st_mode) || st.st_rdev != s->info->rdev)
		plan_refuse_here(plan, "terminal 0x%x: %s is not the device %u:%u here", file->id, s->path,
				 major(s->info->rdev), minor(s->info->rdev));
	return 0;
}

static int tty_read(struct plan *plan, struct plan_file *file)
{
	const TtyFileEntry *e = file->entry->tty;
	const TtyInfoEntry *info = e ? find_info(plan, e->tty_info_id) : NULL;
	struct tty_file *s = plan_alloc(plan, sizeof(*s));

	if (!info) {
		log_err("files.img: terminal 0x%x has no entry, or none in tty-info.img", file->id);
		return -EBADMSG;
	}
	if (!s)
		return -ENOMEM;
	file->flags = e->flags;
	file->fown = e->fown;
	file->data = s;
	*s = (struct tty_file){
		.info = info,
		.role = info->type == TTY_TYPE__CTTY ? TTY_CTTY
			: info->rdev == PTMX_RDEV    ? TTY_MASTER
						     : TTY_SLAVE,
		.hung_up = e->has_hung_up ? e->hung_up : !info->termios,
	};
	if (info->type == TTY_TYPE__PTY)
		return read_pty(plan, file);
	if (info->type == TTY_TYPE__EXT_TTY)
		return read_external(plan, file);
	if (info->type == TTY_TYPE__VT || info->type == TTY_TYPE__CONSOLE || info->type == TTY_TYPE__SERIAL)
		return read_device(plan, file);
	if (info->type != TTY_TYPE__CTTY)
		plan_refuse(plan, "tty-info.img: terminal 0x%x is of an unknown type (%u)", file->id, info->type);
	return 0;
}

/* The terminal that /dev/tty was: by its number, or by its session. One that is hung up may be any. */
static struct terminal *find_ctty(struct plan *plan, const struct tty_file *s)
{
	const struct ttys *ttys = plan->ttys;

	if (s->hung_up && !s->info->has_peer)
		return get_terminal(plan, TTY_MAX_INDEX);
	for (struct terminal *t = ttys->terminals; t; t = t->next) {
		const TtyInfoEntry *info = t->master ? t->master : t->slave;

		if (s->info->has_peer ? t->index == s->info->peer : info && info->sid && info->sid == s->info->sid)
			return t;
	}
	return get_terminal(plan, s->info->has_peer && s->info->peer < TTY_MAX_INDEX ? s->info->peer : TTY_MAX_INDEX);
}

/* The number is somebody else's here. Terminals that were closed a moment ago take a little to go. */
static bool is_taken(uint32_t index)
{
	const struct timespec nap = { .tv_nsec = 10000000 };
	char path[32];

	snprintf(path, sizeof(path), "/dev/pts/%u", index);
	for (int i = 0; i < 50; i++) {
		if (access(path, F_OK))
			return false;
		nanosleep(&nap, NULL);
	}
	return true;
}

static void resolve_outside(struct plan *plan, const struct terminal *t, const struct plan_file *file)
{
	uint32_t sid = tty_state(file)->info->sid;

	if (sid && plan_task_by_pid(plan, sid))
		plan_refuse(plan, "terminal 0x%x belongs to session %u of the tree, but its master is not there",
			    file->id, sid);
	else if (!plan->opts->shell_job)
		plan_refuse_here(plan,
				 "terminal 0x%x is not part of the tree: to use the terminal of ckpt restore instead, "
				 "give --shell-job",
				 file->id);
	else if (plan->tty_fd < 0)
		plan_refuse_here(plan, "--shell-job needs a terminal, but none of stdin, stdout and stderr is one");
}

static void resolve_session(struct plan *plan, struct terminal *t)
{
	const TtyInfoEntry *info = t->master && t->master->sid ? t->master : t->slave ? t->slave : t->master;
	struct plan_task *leader = info && info->sid ? plan_task_by_pid(plan, info->sid) : NULL;

	if (!leader || leader->sid != leader->pid || !plan_lives(leader))
		return;
	if (leader->terminal && leader->terminal->outside && t->outside)
		return; /* it has several descriptions */
	if (leader->terminal) {
		plan_refuse(plan, "tty-info.img: session %d has two terminals, %u and %u", leader->sid,
			    leader->terminal->index, t->index);
		return;
	}
	t->leader = leader;
	t->group = info->pgrp;
	leader->terminal = t;
}

static int tty_resolve(struct plan *plan, struct plan_file *file)
{
	struct tty_file *s = tty_state(file);

	/* A damaged image may have refused it before. */
	if (plan->problems)
		return 0;
	if (s->role == TTY_CTTY) {
		s->terminal = find_ctty(plan, s);
		if (!s->terminal)
			return -ENOMEM;
		s->terminal->any_index &= s->hung_up;
	}
	struct terminal *t = s->terminal;
	if (s->role == TTY_EXTERNAL || s->role == TTY_DEVICE) {
		if (!s->path && t->inherited < 0)
			resolve_outside(plan, t, file);
		t->first = file;
		resolve_session(plan, t);
		return 0;
	}
	t->outside = !t->master && !t->any_index;
	if (t->outside && !s->hung_up)
		resolve_outside(plan, t, file);
	if (t->first) {
		plan_join_files(file, t->first);
		return 0;
	}
	t->first = file;
	if (t->master) {
		resolve_session(plan, t);
		if (!plan->offline && is_taken(t->index))
			plan_refuse(plan, "the terminal /dev/pts/%u of the tree is somebody else's here: close that",
				    t->index);
	}
	return 0;
}

/* The leader of the session needs the terminal, too. */
static bool tty_reach(struct plan *plan, struct plan_file *file)
{
	struct terminal *t = tty_state(file)->terminal;
	struct plan_task *before = file->with->owner;

	if (t && t->leader)
		file->with->owner = plan_common_ancestor(before, t->leader);
	return file->with->owner != before;
}

int tty_open_flags(const struct plan_file *file)
{
	return (file->flags & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_SYNC)) | O_NOCTTY | O_CLOEXEC;
}

/* The terminal of a shell job, or of --inherit-fd. */
static int open_outside(struct plan *plan, struct terminal *t)
{
	int from = t->inherited >= 0 ? plan->inherited_fds[t->inherited] : plan->tty_fd;

	for (struct plan_file *f = t->first->with; f; f = f->with_next) {
		char proc[32];
		const char *path = tty_state(f)->role == TTY_CTTY ? "/dev/tty" : tty_state(f)->path ?: proc;

		snprintf(proc, sizeof(proc), "/proc/self/fd/%d", from);
		int fd = open(path, tty_open_flags(f));
		if (fd < 0)
			return log_errno(errno, "can't open the terminal %s", path);
		f->fd = fd_to_temporary(plan, fd);
		if (f->fd < 0)
			return f->fd;
	}
	t->slave_fd = t->inherited >= 0 ? from : tty_state(t->first)->path ? t->first->fd : -1;
	return 0;
}

static int tty_open(struct plan *plan, struct plan_file *first)
{
	struct terminal *t = tty_state(first)->terminal;

	return t->outside ? open_outside(plan, t) : tty_make_pty(plan, t);
}

/* The terminal may be in the middle of something: only a warning when it does not take its settings. */
static int tty_last(struct plan *plan, struct plan_file *file)
{
	const struct tty_file *s = tty_state(file);
	struct termios t = {};
	pid_t group = s->info->pgrp;
	int inherited = s->terminal->inherited, fd = inherited >= 0 ? plan->inherited_fds[inherited] : plan->tty_fd;
	_cleanup_close_ int own = s->path ? open(s->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) : -1;

	fd = own >= 0 ? own : fd;
	if (!s->terminal->outside || s->role == TTY_CTTY || !s->info->termios || ioctl(fd, TCGETS, &t))
		return 0;
	tty_fill_termios(&t, s->info->termios);
	if (ioctl(fd, TCSETS, &t))
		log_warn("can't set up the terminal as it was: %s", strerror(errno));
	if (inherited >= 0 || s->path)
		return 0;
	/* A group of the tree was in the foreground: not the one that ours took the place of. */
	if (group && group != plan->old_pgid && plan_task_by_pid(plan, group) && ioctl(plan->tty_fd, TIOCSPGRP, &group))
		log_warn("can't put group %d into the foreground of the terminal: %s", group, strerror(errno));
	return 0;
}

const struct restore_fd_kind restore_fd_tty = {
	.name = "terminal",
	.type = FD_TYPES__TTY,
	.begin = tty_begin,
	.read = tty_read,
	.resolve = tty_resolve,
	.reach = tty_reach,
	.open = tty_open,
	.last = tty_last,
};
