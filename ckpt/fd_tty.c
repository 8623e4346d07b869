/*
 * Pseudo terminals: masters, slaves and /dev/tty. Both ends in the tree, one of them, or what is left of one when the
 * other is gone (hung up). A slave whose master is outside is the terminal of a shell job, and comes from outside again
 * (--shell-job). What waits to be read: tty_data.c. Consoles and serial lines are the machine's, and opened again.
 */
#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kd.h>
#include <linux/vt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"
#include "opts.h"
#include "tty.pb-c.h"
#include "tty_data.h"

#define FIRST_PTS_MAJOR 136 /* UNIX98_PTY_SLAVE_MAJOR, eight of them: Documentation/admin-guide/devices.txt */
#define LAST_PTS_MAJOR 143
#define TTYAUX_MAJOR 5 /* minor 0: /dev/tty, 1: /dev/console, 2: /dev/ptmx */
#define CTTY_ID 2012 /* of tty-info.img, as CRIU numbers /dev/tty */
#define CONSOLE_ID 2004
#define VT_ID 2008
#define EXTERNAL_ID 2026 /* of terminals from outside, likewise */
#define CTTY_ID_OTHER (1u << 22) /* above the numbers of all ptys: for further ones */
#define EXTERNAL_ID_OTHER (1u << 24)
#define CC_WORDS 19 /* NCCS bytes of c_cc, packed into the first words of as many */

enum tty_role { TTY_MASTER, TTY_SLAVE, TTY_CTTY, TTY_DEVICE };

struct tty_state {
	enum tty_role role;
	uint32_t index; /* of the pty */
	bool known; /* index is */
	dev_t device; /* which terminal it really is; 0: hung up */
	bool graphics; /* a virtual console that its user draws on, or switches itself */
	bool hung_up;
	struct termios termios, locked;
	struct winsize size;
	struct dump_file *path; /* the entry of the device file */
	int exclusive, packet, pt_lock;
	bool peer_closed; /* of a master: no descriptor of the slave is open any more */
};

static bool is_slave_dev(dev_t dev)
{
	return major(dev) >= FIRST_PTS_MAJOR && major(dev) <= LAST_PTS_MAJOR;
}

static uint32_t index_of(dev_t dev)
{
	return minor(dev) + (major(dev) - FIRST_PTS_MAJOR) * 256;
}

static enum tty_role role_of(dev_t dev)
{
	if (is_slave_dev(dev))
		return TTY_SLAVE;
	if (major(dev) == TTYAUX_MAJOR && minor(dev) != 1)
		return minor(dev) == 0 ? TTY_CTTY : minor(dev) == 2 ? TTY_MASTER : TTY_DEVICE;
	return TTY_DEVICE;
}

/* Character devices that are terminals: consoles (4, 5:1), serial lines (4:64 and up, 204, 229). */
static bool is_terminal(dev_t dev)
{
	return is_slave_dev(dev) || major(dev) == TTYAUX_MAJOR || major(dev) == 4 || major(dev) == 204 ||
	       major(dev) == 229;
}

static bool match(const struct fd_info *info)
{
	return S_ISCHR(info->st.st_mode) && is_terminal(info->st.st_rdev) && info->number >= 0 &&
	       !(info->flags & O_PATH);
}

static const struct tty_state *state(const struct dump_file *f)
{
	return f->data;
}

static int read_master(struct tty_state *tty, int fd)
{
	struct pollfd pfd = { .fd = fd };

	if (ioctl(fd, TIOCGPTN, &tty->index) || ioctl(fd, TIOCGPKT, &tty->packet) ||
	    ioctl(fd, TIOCGPTLCK, &tty->pt_lock) || poll(&pfd, 1, 0) < 0)
		return -errno;
	tty->peer_closed = pfd.revents & POLLHUP;
	return 0;
}

/* Which pty a slave or /dev/tty is. */
static int read_index(struct tty_state *tty, const struct fd_info *info)
{
	unsigned int number;

	if (tty->role == TTY_SLAVE)
		tty->index = index_of(info->st.st_rdev);
	tty->known = tty->role == TTY_SLAVE;
	if (tty->hung_up || ioctl(info->fd, TIOCGDEV, &number))
		return tty->hung_up ? 0 : -errno;
	tty->device = number;
	tty->known = is_slave_dev(number);
	if (tty->known)
		tty->index = index_of(number);
	return 0;
}

/* Virtual consoles have a mode for graphics, and one in which a process decides when another one is shown. */
static bool is_graphics(int fd)
{
	struct vt_mode vt;
	int mode;

	return (!ioctl(fd, KDGETMODE, &mode) && mode != KD_TEXT) || (!ioctl(fd, VT_GETMODE, &vt) && vt.mode != VT_AUTO);
}

static int read_state(struct tty_state *tty, const struct fd_info *info)
{
	if (ioctl(info->fd, TCGETS, &tty->termios)) {
		/* a terminal that is hung up answers EIO */
		if (errno != EIO)
			return -errno;
		tty->hung_up = true;
	} else if (ioctl(info->fd, TIOCGLCKTRMIOS, &tty->locked) || ioctl(info->fd, TIOCGWINSZ, &tty->size) ||
		   ioctl(info->fd, TIOCGEXCL, &tty->exclusive)) {
		return -errno;
	}
	tty->graphics = tty->role == TTY_DEVICE && !tty->hung_up && is_graphics(info->fd);
	if (tty->role != TTY_MASTER)
		return read_index(tty, info);
	tty->known = true;
	return read_master(tty, info->fd);
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct tty_state *tty = calloc(1, sizeof(*tty));
	char name[32];

	if (!tty)
		return log_errno(ENOMEM, "fd %d of task %d", f->number, f->pid);
	f->data = tty;
	tty->role = role_of(f->st.st_rdev);
	int err = read_state(tty, info);
	if (err)
		return log_errno(-err, "can't read the terminal of fd %d of task %d", f->number, f->pid);
	if (f->in_flight)
		return 0;
	snprintf(name, sizeof(name), "fd/%d", info->number);
	return files_add_link(info->task, name, f->flags, &tty->path);
}

/* Another file of the same pty, in that role, that is not hung up; NULL: none. */
static const struct dump_file *find_end(const struct dump *d, uint32_t index, enum tty_role role)
{
	for (const struct dump_file *f = NULL; (f = files_next_of(d, &dump_fd_tty, f));)
		if (state(f)->role == role && state(f)->known && !state(f)->hung_up && state(f)->index == index)
			return f;
	return NULL;
}

static bool is_outside(const struct dump *d, const struct tty_state *tty)
{
	return !tty->hung_up && tty->role != TTY_MASTER && !find_end(d, tty->index, TTY_MASTER);
}

/* Who leads the session whose terminal it is; NULL: nobody in the tree. */
static const struct dump_task *find_leader(const struct dump *d, const struct tty_state *tty)
{
	dev_t device = tty->role == TTY_MASTER ? makedev(FIRST_PTS_MAJOR, tty->index) : tty->device;

	for (size_t i = 0; i < d->n_tasks && device; i++) {
		const struct dump_task *t = d->tasks[i];

		if (t->stat.sid == t->pid && t->state != TASK_DEAD && (dev_t)t->stat.tty == device)
			return t;
	}
	return NULL;
}

/* Whether it lies in the directory of terminals that a restore will use. */
static bool is_usual(const struct dump_file *f)
{
	const struct tty_state *tty = state(f);
	struct stat st;

	if (tty->role == TTY_MASTER)
		return !strcmp(f->link, "/dev/ptmx") || !strcmp(f->link, "/dev/pts/ptmx");
	return tty->role != TTY_SLAVE || tty->hung_up || (!stat("/dev/pts", &st) && st.st_dev == f->st.st_dev);
}

/* Named by --external: it comes from outside again. */
static bool is_external(const struct dump *d, const struct dump_file *f)
{
	char key[64];

	snprintf(key, sizeof(key), "tty[%lx:%lx]", (unsigned long)f->st.st_rdev, (unsigned long)f->st.st_dev);
	if (state(f)->hung_up || (state(f)->role != TTY_DEVICE && !is_outside(d, state(f))))
		return false;
	return opts_find_outside(d->opts, key, false);
}

static int judge_outside(struct dump *d, const struct dump_file *f)
{
	char remedy[160];

	snprintf(remedy, sizeof(remedy),
		 "use --shell-job (-j), here and at the restore, or --external 'tty[%lx:%lx]' and --inherit-fd",
		 (unsigned long)f->st.st_rdev, (unsigned long)f->st.st_dev);
	if (!d->opts->shell_job)
		return blocker_add(d, f->pid, "terminal", "its other end is outside the tree", remedy, "%s, %s",
				   f->where, f->link);
	if (d->tasks[0]->stat.tty && is_slave_dev(d->tasks[0]->stat.tty) &&
	    index_of(d->tasks[0]->stat.tty) == state(f)->index && d->tasks[0]->stat.sid != d->tasks[0]->pid)
		return 0;
	return blocker_add(d, f->pid, "terminal",
			   "its other end is outside the tree, and it is not the terminal of the tree's own session",
			   "dump it together with whoever opened the terminal, or without it (setsid, input and output "
			   "to files)",
			   "%s, %s", f->where, f->link);
}

static int judge_tty(struct dump *d, const struct dump_file *f)
{
	const struct tty_state *tty = f->data;

	if (is_external(d, f))
		return 0;
	if (tty->graphics || (tty->role == TTY_DEVICE && tty->hung_up))
		return blocker_add(d, f->pid, "terminal",
				   tty->graphics ? "it is a virtual console in graphics mode"
						 : "it is a console or serial line that was hung up",
				   "close it before the dump", "%s, %s", f->where, f->link);
	if (tty->role == TTY_CTTY && !(tty->known || tty->hung_up))
		return blocker_add(d, f->pid, "terminal", "it is /dev/tty of a console or serial line",
				   "close it before the dump, and open it when it is needed", "%s, %s", f->where,
				   f->link);
	if (!tty->path)
		return blocker_add(d, f->pid, "terminal", "nobody has received its descriptor yet",
				   "let it be received before the dump", "%s", f->where);
	if (tty->role == TTY_DEVICE)
		return 0;
	if (!is_usual(f))
		return blocker_add(d, f->pid, "terminal", "it lies in another instance of devpts than /dev/pts",
				   "dump it from within its mount namespace", "%s, %s", f->where, f->link);
	return is_outside(d, tty) ? judge_outside(d, f) : 0;
}

/* The one terminal that the first descriptor of /dev/tty is gets the number that CRIU gives them all. */
static bool is_first_ctty(const struct dump *d, const struct tty_state *tty)
{
	for (const struct dump_file *f = NULL; (f = files_next_of(d, &dump_fd_tty, f));)
		if (state(f)->role == TTY_CTTY)
			return state(f)->known == tty->known && state(f)->index == tty->index;
	return true;
}

/* The number of its entry in tty-info.img: as CRIU's, so that each restores the images of the other. */
static uint32_t info_id(const struct dump *d, const struct tty_state *tty)
{
	if (tty->role != TTY_CTTY)
		return tty->index * 2 + (tty->role == TTY_MASTER);
	if (is_first_ctty(d, tty) && !find_end(d, CTTY_ID / 2, TTY_SLAVE))
		return CTTY_ID;
	return CTTY_ID_OTHER + (tty->known ? tty->index : CTTY_ID_OTHER);
}

static bool is_vt(dev_t dev)
{
	return major(dev) == 4 && minor(dev) < 64;
}

/* One console and one virtual one have the numbers that CRIU gives them. */
static uint32_t device_id(const struct dump *d, const struct dump_file *f)
{
	bool vt = is_vt(f->st.st_rdev), console = f->st.st_rdev == makedev(TTYAUX_MAJOR, 1);
	const struct dump_file *first = NULL;

	while ((first = files_next_of(d, &dump_fd_tty, first)) && !is_vt(first->st.st_rdev))
		;
	if (vt && f->st.st_rdev == first->st.st_rdev && !find_end(d, VT_ID / 2, TTY_SLAVE))
		return VT_ID;
	if (console && !find_end(d, CONSOLE_ID / 2, TTY_SLAVE))
		return CONSOLE_ID;
	return EXTERNAL_ID_OTHER + f->st.st_rdev;
}

static TtyType type_of(const struct dump *d, const struct dump_file *f)
{
	if (is_external(d, f))
		return TTY_TYPE__EXT_TTY;
	if (state(f)->role != TTY_DEVICE)
		return state(f)->role == TTY_CTTY ? TTY_TYPE__CTTY : TTY_TYPE__PTY;
	return is_vt(f->st.st_rdev)		      ? TTY_TYPE__VT
	       : major(f->st.st_rdev) == TTYAUX_MAJOR ? TTY_TYPE__CONSOLE
						      : TTY_TYPE__SERIAL;
}

static uint32_t info_id_of(const struct dump *d, const struct dump_file *f)
{
	const struct dump_file *first = NULL;

	if (!is_external(d, f))
		return state(f)->role == TTY_DEVICE ? device_id(d, f) : info_id(d, state(f));
	while ((first = files_next_of(d, &dump_fd_tty, first)) && !is_external(d, first))
		;
	if (first->st.st_rdev == f->st.st_rdev && !find_end(d, EXTERNAL_ID / 2, TTY_SLAVE))
		return EXTERNAL_ID;
	return EXTERNAL_ID_OTHER + f->st.st_rdev;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	const struct tty_state *tty = f->data;
	TtyFileEntry *t = arena_get(arena, sizeof(*t));

	if (!t)
		return -ENOMEM;
	tty_file_entry__init(t);
	t->id = f->id;
	t->tty_info_id = info_id_of(d, f);
	t->flags = f->flags;
	t->fown = (FownEntry *)&f->fown;
	t->has_regf_id = !is_external(d, f);
	t->regf_id = t->has_regf_id ? tty->path->id : 0;
	t->has_hung_up = t->hung_up = tty->hung_up;
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

/* Session and foreground group: of the leader in the tree, or of the session around a shell job. */
static void fill_session(const struct dump *d, const struct tty_state *tty, TtyInfoEntry *e)
{
	const struct dump_task *leader = find_leader(d, tty);

	if (!leader && is_outside(d, tty) && d->opts->shell_job)
		leader = d->tasks[0];
	if (!leader)
		return;
	e->sid = leader->stat.sid;
	e->pgrp = leader->stat.tty_pgrp > 0 ? leader->stat.tty_pgrp : 0;
}

static void write_info(struct dump *d, const struct dump_file *f, struct image_writer *image)
{
	const struct tty_state *tty = f->data;
	TtyInfoEntry e = TTY_INFO_ENTRY__INIT;
	TermiosEntry termios, locked;
	WinsizeEntry size = WINSIZE_ENTRY__INIT;
	TtyPtyEntry pty = TTY_PTY_ENTRY__INIT;
	uint32_t cc[CC_WORDS] = {}, locked_cc[CC_WORDS] = {};

	e.id = info_id_of(d, f);
	e.type = type_of(d, f);
	e.locked = tty->pt_lock;
	e.exclusive = tty->exclusive;
	e.packet_mode = tty->packet;
	e.rdev = f->st.st_rdev;
	e.has_dev = e.has_uid = e.has_gid = true;
	e.dev = f->st.st_dev;
	e.uid = f->st.st_uid;
	e.gid = f->st.st_gid;
	fill_session(d, tty, &e);
	if (!tty->hung_up) {
		fill_termios(&termios, &tty->termios, cc);
		fill_termios(&locked, &tty->locked, locked_cc);
		size.ws_row = tty->size.ws_row;
		size.ws_col = tty->size.ws_col;
		size.ws_xpixel = tty->size.ws_xpixel;
		size.ws_ypixel = tty->size.ws_ypixel;
		e.termios = &termios;
		e.termios_locked = &locked;
		e.winsize = &size;
	}
	pty.index = e.peer = tty->index;
	if (e.type == TTY_TYPE__PTY)
		e.pty = &pty;
	e.has_peer = tty->role == TTY_CTTY && tty->known;
	e.has_peer_closed = e.peer_closed = tty->peer_closed;
	image_put(image, &e.base);
}

/* One entry for each number: of the first file that has it and is not hung up, if any. */
static bool speaks_for_all(const struct dump *d, const struct dump_file *f)
{
	const struct dump_file *best = NULL;

	for (const struct dump_file *other = NULL; (other = files_next_of(d, &dump_fd_tty, other));)
		if (info_id_of(d, other) == info_id_of(d, f) &&
		    (!best || (state(best)->hung_up && !state(other)->hung_up)))
			best = other;
	return best == f;
}

static void put_data(struct image_writer *w, uint32_t id, const struct tty_bytes *bytes, const struct tty_data *ends)
{
	TtyDataEntry e = TTY_DATA_ENTRY__INIT;

	if (!bytes->n && !(ends && ends->n_ends))
		return;
	e.tty_id = id;
	e.data = (ProtobufCBinaryData){ .len = bytes->n, .data = (uint8_t *)bytes->data };
	e.n_ends = ends ? ends->n_ends : 0;
	e.ends = ends ? (uint32_t *)ends->ends : NULL;
	image_put(w, &e.base);
}

/* What the two ends of a pty have not read yet. What waits in a terminal outside is not the tree's. */
static int write_data(struct dump *d, const struct dump_file *f, struct image_writer *w)
{
	const struct tty_state *tty = state(f);
	bool slave = find_end(d, tty->index, TTY_SLAVE) || find_end(d, tty->index, TTY_CTTY);
	_cleanup_tty_data_ struct tty_data data = {};
	_cleanup_close_ int master = files_get(d, f);

	if (master < 0)
		return master;
	int err = tty_data_copy(master, tty->index, slave, tty->packet, &data);
	if (err)
		return log_errno(-err, "can't copy what waits in terminal %u%s", tty->index,
				 err == -EAGAIN ? " (it is stopped: press Ctrl-Q)" : "");
	put_data(w, tty->index * 2 + 1, &data.master, NULL);
	put_data(w, tty->index * 2, &data.slave, &data);
	return 0;
}

static int write_ttys(struct dump *d)
{
	struct image_writer info, data;
	int err = 0;

	if (!files_next_of(d, &dump_fd_tty, NULL))
		return 0;
	image_create(&info, &d->images, IMG_TTY_INFO, 0);
	image_create(&data, &d->images, IMG_TTY_DATA, 0);
	for (const struct dump_file *f = NULL; !err && (f = files_next_of(d, &dump_fd_tty, f));) {
		if (speaks_for_all(d, f))
			write_info(d, f, &info);
		if (state(f)->role == TTY_MASTER)
			err = write_data(d, f, &data);
	}
	int closed = image_close(&info), closed_data = image_close(&data);
	return err ? err : closed ? closed : closed_data;
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
