/*
 * The terminal of a shell job: a pty whose master is outside the tree (a terminal emulator, sshd) and that
 * the restored job gets again from whoever restores it. Only with --shell-job.
 * Does not handle: masters and whole ptys inside the tree, virtual consoles, /dev/tty.
 */
#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "dump.h"
#include "log.h"
#include "opts.h"
#include "tty.pb-c.h"

#define FIRST_PTS_MAJOR 136 /* UNIX98_PTY_SLAVE_MAJOR, eight of them: Documentation/admin-guide/devices.txt */
#define LAST_PTS_MAJOR 143
#define CC_WORDS 19 /* NCCS bytes of c_cc, packed into the first words of as many */

struct tty_state {
	struct termios termios, locked;
	struct winsize size;
	uint32_t info_id; /* of tty-info.img */
	struct dump_file *path; /* the entry of the device file */
	bool exclusive;
};

static bool is_slave(const struct stat *st)
{
	return major(st->st_rdev) >= FIRST_PTS_MAJOR && major(st->st_rdev) <= LAST_PTS_MAJOR;
}

static bool match(const struct fd_info *info)
{
	return S_ISCHR(info->st.st_mode) && is_slave(&info->st) && info->number >= 0 && !(info->flags & O_PATH);
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct tty_state *tty = calloc(1, sizeof(*tty));
	char name[32];
	int exclusive = 0;

	if (!tty)
		return log_errno(ENOMEM, "fd %d of task %d", f->number, f->pid);
	f->data = tty;
	if (ioctl(info->fd, TCGETS, &tty->termios) || ioctl(info->fd, TIOCGLCKTRMIOS, &tty->locked) ||
	    ioctl(info->fd, TIOCGWINSZ, &tty->size) || ioctl(info->fd, TIOCGEXCL, &exclusive)) {
		/* a terminal that is hung up answers EIO */
		return errno == EIO
			       ? 0
			       : log_errno(errno, "can't read the terminal of fd %d of task %d", f->number, f->pid);
	}
	tty->exclusive = exclusive;
	tty->info_id = minor(f->st.st_rdev) + (major(f->st.st_rdev) - FIRST_PTS_MAJOR) * 256;
	snprintf(name, sizeof(name), "fd/%d", info->number);
	return files_add_link(info->task, name, f->flags, &tty->path);
}

static int judge_tty(struct dump *d, const struct dump_file *f)
{
	const struct tty_state *tty = f->data;
	const char *remedy = "not supported yet; dump it without its terminal (setsid, input and output to files)";

	if (!tty->path)
		return blocker_add(d, f->pid, "terminal", "it is hung up", remedy, "fd %d", f->number);
	if (!d->opts->shell_job)
		return blocker_add(d, f->pid, "terminal", "its other end is outside the tree",
				   "use --shell-job (-j), here and at the restore", "fd %d, %s", f->number, f->link);
	if (d->tasks[0]->stat.tty != (int)f->st.st_rdev)
		return blocker_add(d, f->pid, "terminal", "it is not the controlling terminal of the tree", remedy,
				   "fd %d, %s", f->number, f->link);
	return 0;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	const struct tty_state *tty = f->data;
	TtyFileEntry *t = arena_get(arena, sizeof(*t));

	if (!t)
		return -ENOMEM;
	tty_file_entry__init(t);
	t->id = f->id;
	t->tty_info_id = tty->info_id;
	t->flags = f->flags;
	t->fown = (FownEntry *)&f->fown;
	t->has_regf_id = true;
	t->regf_id = tty->path->id;
	e->tty = t;
	return 0;
}

static void fill_termios(TermiosEntry *e, const struct termios *t, uint32_t cc[CC_WORDS])
{
	termios_entry__init(e);
	e->c_iflag = t->c_iflag;
	e->c_oflag = t->c_oflag;
	e->c_cflag = t->c_cflag;
	e->c_lflag = t->c_lflag;
	e->c_line = t->c_line;
	memcpy(cc, t->c_cc, sizeof(t->c_cc));
	e->n_c_cc = CC_WORDS;
	e->c_cc = cc;
}

static int write_info(struct dump *d, struct dump_file *f, void *image)
{
	const struct tty_state *tty = f->data;
	TtyInfoEntry e = TTY_INFO_ENTRY__INIT;
	TermiosEntry termios, locked;
	WinsizeEntry size = WINSIZE_ENTRY__INIT;
	TtyPtyEntry pty = TTY_PTY_ENTRY__INIT;
	uint32_t cc[CC_WORDS] = {}, locked_cc[CC_WORDS] = {};

	fill_termios(&termios, &tty->termios, cc);
	fill_termios(&locked, &tty->locked, locked_cc);
	size.ws_row = tty->size.ws_row;
	size.ws_col = tty->size.ws_col;
	size.ws_xpixel = tty->size.ws_xpixel;
	size.ws_ypixel = tty->size.ws_ypixel;
	pty.index = tty->info_id;
	e.id = tty->info_id;
	e.type = TTY_TYPE__PTY;
	e.exclusive = tty->exclusive;
	e.sid = d->tasks[0]->stat.sid;
	e.pgrp = d->tasks[0]->stat.tty_pgrp;
	e.rdev = f->st.st_rdev;
	e.termios = &termios;
	e.termios_locked = &locked;
	e.winsize = &size;
	e.pty = &pty;
	e.has_dev = e.has_uid = e.has_gid = true;
	e.dev = f->st.st_dev;
	e.uid = f->st.st_uid;
	e.gid = f->st.st_gid;
	image_put(image, &e.base);
	return 0;
}

struct tty_images {
	struct image_writer image;
	bool any;
	ino_t last;
};

/* One entry for each terminal, whichever description of it comes first. */
static int write_once(struct dump *d, struct dump_file *f, void *arg)
{
	struct tty_images *w = arg;

	if (w->any && f->st.st_ino == w->last)
		return 0;
	if (!w->any)
		image_create(&w->image, &d->images, IMG_TTY_INFO, 0);
	w->any = true;
	w->last = f->st.st_ino;
	return write_info(d, f, &w->image);
}

static int write_ttys(struct dump *d)
{
	struct tty_images w = {};
	int err = files_each(d, &dump_fd_tty, write_once, &w);
	int closed = w.any ? image_close(&w.image) : 0;

	return err ? err : closed;
}

const struct dump_fd_kind dump_fd_tty = {
	.name = "tty",
	.type = FD_TYPES__TTY,
	.match = match,
	.collect = collect,
	.judge = judge_tty,
	.fill = fill,
	.write = write_ttys,
};
