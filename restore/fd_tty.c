/*
 * Terminals. A pseudo terminal of the tree is made again with its number: master, slaves, /dev/tty, what waited to be
 * read, settings. The descriptors whose terminal was hung up are opened first and hung up again. The terminal of a
 * shell job comes from outside: it is that which ckpt restore was started on, and gets its settings when nothing can
 * fail any more. Consoles and serial lines are refused.
 */
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "opts.h"
#include "plan.h"
#include "tty.h"
#include "tty_write.h"

#define PTMX_RDEV 0x502 /* 5:2 */
#define MAX_INDEX (1u << 20)
#define MAX_DATA (1u << 20) /* bytes */
#define TRIES 1000 /* ms to wait for a number that somebody else has for a moment */

enum tty_role { TTY_MASTER, TTY_SLAVE, TTY_CTTY };

/* What a description refers to. */
struct tty_file {
	const TtyInfoEntry *info;
	enum tty_role role;
	bool hung_up;
	struct terminal *terminal;
};

struct ttys {
	size_t n, n_data;
	TtyInfoEntry **list;
	TtyDataEntry **data;
	struct terminal *terminals;
};

static struct tty_file *state(const struct plan_file *file)
{
	return file->data;
}

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
	*t = (struct terminal){ .index = index, .any_index = true, .slave_fd = -1, .next = ttys->terminals };
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
	struct tty_file *s = state(file);
	const TtyInfoEntry *info = s->info;

	if (!info->pty || info->pty->index >= MAX_INDEX || !is_winsize(info->winsize) ||
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
	if (info->type != TTY_TYPE__CTTY)
		plan_refuse(plan, "terminal 0x%x is a console or serial line (type %u): not supported yet", file->id,
			    info->type);
	return 0;
}

/* The terminal that /dev/tty was: by its number, or by its session. One that is hung up may be any. */
static struct terminal *find_ctty(struct plan *plan, const struct tty_file *s)
{
	const struct ttys *ttys = plan->ttys;

	if (s->hung_up && !s->info->has_peer)
		return get_terminal(plan, MAX_INDEX);
	for (struct terminal *t = ttys->terminals; t; t = t->next) {
		const TtyInfoEntry *info = t->master ? t->master : t->slave;

		if (s->info->has_peer ? t->index == s->info->peer : info && info->sid && info->sid == s->info->sid)
			return t;
	}
	return get_terminal(plan, s->info->has_peer && s->info->peer < MAX_INDEX ? s->info->peer : MAX_INDEX);
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
	uint32_t sid = state(file)->info->sid;

	if (sid && plan_task_by_pid(plan, sid))
		plan_refuse(plan, "terminal 0x%x belongs to session %u of the tree, but its master is not there",
			    file->id, sid);
	else if (!plan->opts->shell_job)
		plan_refuse(plan,
			    "terminal 0x%x is not part of the tree: to use the terminal of ckpt restore instead, "
			    "give --shell-job",
			    file->id);
	else if (plan->tty_fd < 0)
		plan_refuse(plan, "--shell-job needs a terminal, but none of stdin, stdout and stderr is one");
}

static void resolve_session(struct plan *plan, struct terminal *t)
{
	const TtyInfoEntry *info = t->master && t->master->sid ? t->master : t->slave ? t->slave : t->master;
	struct plan_task *leader = info && info->sid ? plan_task_by_pid(plan, info->sid) : NULL;

	if (!leader || leader->sid != leader->pid || !plan_lives(leader))
		return;
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
	struct tty_file *s = state(file);

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
		if (is_taken(t->index))
			plan_refuse(plan, "the terminal /dev/pts/%u of the tree is somebody else's here: close that",
				    t->index);
	}
	return 0;
}

/* The leader of the session needs the terminal, too. */
static bool tty_reach(struct plan *plan, struct plan_file *file)
{
	struct terminal *t = state(file)->terminal;
	struct plan_task *before = file->with->owner;

	if (t && t->leader)
		file->with->owner = plan_common_ancestor(before, t->leader);
	return file->with->owner != before;
}

/* Whether a terminal of the tree needs the number. */
static bool is_wanted(const struct plan *plan, uint32_t index)
{
	for (const struct terminal *t = ((struct ttys *)plan->ttys)->terminals; t; t = t->next)
		if (t->index == index)
			return true;
	return false;
}

/*
 * Opens masters until one has the number, or with any one that nobody else needs, and closes the others. Returns it,
 * -EAGAIN or another -errno.
 */
static int try_master(const struct plan *plan, uint32_t index, bool any)
{
	int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	uint32_t number;

	if (fd < 0 || ioctl(fd, TIOCGPTN, &number))
		return -errno;
	if (number == index || (any && !is_wanted(plan, number)))
		return fd;
	/* Numbers are given from below. */
	int found = number < index ? try_master(plan, index, any) : -EAGAIN;
	close(fd);
	return found;
}

static int open_master(const struct plan *plan, const struct terminal *t)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	int fd = t->index < MAX_INDEX ? try_master(plan, t->index, false) : -EAGAIN, unlock = 0;

	if (fd == -EAGAIN && t->any_index)
		fd = try_master(plan, MAX_INDEX, true);
	for (int i = 0; fd == -EAGAIN && i < TRIES; i++) {
		nanosleep(&nap, NULL);
		fd = try_master(plan, t->index, false);
	}
	if (fd < 0)
		return log_errno(-fd, "can't make the terminal /dev/pts/%u%s", t->index,
				 fd == -EAGAIN ? ": it is somebody else's" : "");
	if (!ioctl(fd, TIOCSPTLCK, &unlock))
		return fd;
	close(fd);
	return log_errno(errno, "can't unlock the terminal /dev/pts/%u", t->index);
}

static int open_flags(const struct plan_file *file)
{
	return (file->flags & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_SYNC)) | O_NOCTTY | O_CLOEXEC;
}

/* Opens a slave, or /dev/tty, of the pty. */
static int open_slave(struct plan *plan, struct plan_file *file, const char *path, int slave)
{
	int fd = state(file)->role == TTY_CTTY ? session_open_ctty(plan, slave, open_flags(file))
					       : open(path, open_flags(file));

	if (fd < 0)
		return state(file)->role == TTY_CTTY ? fd : log_errno(errno, "can't open the terminal %s", path);
	file->fd = fd_to_temporary(plan, fd);
	return file->fd < 0 ? file->fd : 0;
}

/* Opens those that are hung up, or the others. Returns how many, or -errno (logged). */
static int open_slaves(struct plan *plan, const struct terminal *t, const char *path, int slave, bool hung_up)
{
	int n = 0;

	for (struct plan_file *f = t->first->with; f; f = f->with_next) {
		if (state(f)->role == TTY_MASTER || state(f)->hung_up != hung_up)
			continue;
		int err = open_slave(plan, f, path, slave);
		if (err)
			return err;
		n++;
	}
	return n;
}

/* Owner and permissions of the device, as the mode of its entry in files.img says. */
static int set_access(const struct plan *plan, const struct terminal *t, int slave)
{
	const TtyInfoEntry *info = t->slave;

	if (info && info->has_uid && info->has_gid && fchown(slave, info->uid, info->gid))
		return log_errno(errno, "can't set the owner of /dev/pts/%u", t->index);
	for (const struct plan_file *f = t->first->with; f; f = f->with_next) {
		const TtyFileEntry *e = f->entry->tty;
		const struct plan_file *reg = state(f)->role == TTY_SLAVE && e->has_regf_id && !state(f)->hung_up
						      ? plan_file_by_id(plan, e->regf_id)
						      : NULL;

		if (reg && reg->entry->reg && reg->entry->reg->has_mode && fchmod(slave, reg->entry->reg->mode & 07777))
			return log_errno(errno, "can't set the permissions of /dev/pts/%u", t->index);
	}
	return 0;
}

static void fill_termios(struct termios *t, const TermiosEntry *e)
{
	t->c_iflag = e->c_iflag;
	t->c_oflag = e->c_oflag;
	t->c_cflag = e->c_cflag;
	t->c_lflag = e->c_lflag;
	t->c_line = e->c_line;
	/* packed into the first words */
	for (size_t i = 0; i < NCCS && i / 4 < e->n_c_cc; i++)
		t->c_cc[i] = e->c_cc[i / 4] >> i % 4 * 8;
}

/* What nobody had read. In packet mode, CRIU and we keep the byte that tells so before the data. */
static int put_data(const struct terminal *t, int master, int slave, const struct termios *settings)
{
	const TtyDataEntry *in = t->input, *out = t->output;
	int err = 0;

	if (in)
		err = tty_put_input(master, slave, settings, in->data.data, in->data.len, in->ends, in->n_ends);
	if (!err && out) {
		size_t skip = t->master->packet_mode && out->data.len && !out->data.data[0];

		err = tty_put_output(slave, settings, out->data.data + skip, out->data.len - skip);
	}
	return err ? log_errno(-err, "can't write what waited in /dev/pts/%u", t->index) : 0;
}

/* Settings of both ends, those that others could stumble upon last. */
static int set_state(const struct terminal *t, int master, int slave, const struct termios *settings)
{
	const TtyInfoEntry *info = t->master;
	struct termios locked = {};
	int one = 1;

	if (ioctl(master, TCSETS, settings))
		return log_errno(errno, "can't set up /dev/pts/%u", t->index);
	if (info->termios_locked)
		fill_termios(&locked, info->termios_locked);
	if (memcmp(&locked, &(struct termios){}, sizeof(locked)) && ioctl(master, TIOCSLCKTRMIOS, &locked))
		return log_errno(errno, "can't lock settings of /dev/pts/%u", t->index);
	if (info->winsize) {
		struct winsize size = { info->winsize->ws_row, info->winsize->ws_col, info->winsize->ws_xpixel,
					info->winsize->ws_ypixel };

		if (ioctl(master, TIOCSWINSZ, &size))
			return log_errno(errno, "can't set the size of /dev/pts/%u", t->index);
	}
	if ((info->packet_mode && ioctl(master, TIOCPKT, &one)) || (info->exclusive && ioctl(master, TIOCEXCL)) ||
	    (slave >= 0 && t->slave && t->slave->exclusive && ioctl(slave, TIOCEXCL)) ||
	    (info->locked && ioctl(master, TIOCSPTLCK, &one)))
		return log_errno(errno, "can't set the mode of /dev/pts/%u", t->index);
	return 0;
}

/* Everything of a pty whose master lives. slave: -1, nobody has ever opened it. */
static int set_up(struct plan *plan, struct terminal *t, int master, int slave)
{
	struct termios settings = {};
	int err = slave >= 0 ? set_access(plan, t, slave) : 0;

	if (ioctl(master, TCGETS, &settings))
		return log_errno(errno, "can't read the settings of /dev/pts/%u", t->index);
	if (t->master->termios)
		fill_termios(&settings, t->master->termios);
	if (!err && slave >= 0)
		err = put_data(t, master, slave, &settings);
	if (!err)
		err = set_state(t, master, slave, &settings);
	if (!err && t->leader) {
		t->slave_fd = fcntl(slave, F_DUPFD_CLOEXEC, plan->fd_low);
		err = t->slave_fd < 0 || t->slave_fd > plan->fd_high ? log_errno(EMFILE, "no temporary descriptor left")
								     : 0;
	}
	for (struct plan_file *f = t->first->with; !err && f; f = f->with_next)
		if (state(f)->role == TTY_MASTER)
			err = fd_take(plan, f, fcntl(master, F_DUPFD_CLOEXEC, 0));
	return err;
}

static int open_end(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? log_errno(errno, "can't open the terminal %s", path) : fd;
}

/* Makes a pty with all that refers to it. */
static int make_pty(struct plan *plan, struct terminal *t)
{
	_cleanup_close_ int master = open_master(plan, t), slave = -1;
	char path[32];
	uint32_t index;
	bool opened = t->slave || t->leader || t->output || (t->master && t->master->peer_closed);

	if (master < 0 || ioctl(master, TIOCGPTN, &index))
		return master < 0 ? master : -errno;
	for (const struct plan_file *f = t->first->with; f; f = f->with_next)
		opened |= state(f)->role != TTY_MASTER;
	snprintf(path, sizeof(path), "/dev/pts/%u", index);
	if (!opened)
		return set_up(plan, t, master, -1);
	slave = open_end(path);
	int n = slave < 0 ? slave : open_slaves(plan, t, path, slave, true);
	/* Without a living one they are hung up when the master is closed. */
	if (n < 0 || t->any_index)
		return n < 0 ? n : 0;
	if (n) {
		int err = ioctl(slave, TIOCVHANGUP) ? log_errno(errno, "can't hang up %s", path) : 0;

		close(slave);
		slave = err ? err : open_end(path);
	}
	n = slave < 0 ? slave : open_slaves(plan, t, path, slave, false);
	return n < 0 ? n : set_up(plan, t, master, slave);
}

/* The terminal of a shell job. */
static int open_outside(struct plan *plan, const struct terminal *t)
{
	for (struct plan_file *f = t->first->with; f; f = f->with_next) {
		char path[32] = "/dev/tty";

		if (state(f)->role != TTY_CTTY)
			snprintf(path, sizeof(path), "/proc/self/fd/%d", plan->tty_fd);
		int fd = open(path, open_flags(f));
		if (fd < 0)
			return log_errno(errno, "can't open the terminal %s", path);
		f->fd = fd_to_temporary(plan, fd);
		if (f->fd < 0)
			return f->fd;
	}
	return 0;
}

static int tty_open(struct plan *plan, struct plan_file *first)
{
	struct terminal *t = state(first)->terminal;

	return t->outside ? open_outside(plan, t) : make_pty(plan, t);
}

/* The terminal may be in the middle of something: only a warning when it does not take its settings. */
static int tty_last(struct plan *plan, struct plan_file *file)
{
	const struct tty_file *s = state(file);
	struct termios t = {};
	pid_t group = s->info->pgrp;

	if (!s->terminal->outside || s->role != TTY_SLAVE || !s->info->termios || ioctl(plan->tty_fd, TCGETS, &t))
		return 0;
	fill_termios(&t, s->info->termios);
	if (ioctl(plan->tty_fd, TCSETS, &t))
		log_warn("can't set up the terminal as it was: %s", strerror(errno));
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
