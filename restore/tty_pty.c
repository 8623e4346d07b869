/*
 * A pseudo terminal is made again: with its number, all that refers to it, what waited to be read, and its settings.
 * The descriptors whose terminal was hung up are opened first and hung up again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "plan.h"
#include "tty.h"
#include "tty_write.h"

#define TRIES 1000 /* ms to wait for a number that somebody else has for a moment */

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
	int fd = t->index < TTY_MAX_INDEX ? try_master(plan, t->index, false) : -EAGAIN, unlock = 0;

	if (fd == -EAGAIN && t->any_index)
		fd = try_master(plan, TTY_MAX_INDEX, true);
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

/* Opens a slave, or /dev/tty, of the pty. */
static int open_slave(struct plan *plan, struct plan_file *file, const char *path, int slave)
{
	int fd = tty_state(file)->role == TTY_CTTY ? session_open_ctty(plan, slave, tty_open_flags(file))
						   : open(path, tty_open_flags(file));

	if (fd < 0)
		return tty_state(file)->role == TTY_CTTY ? fd : log_errno(errno, "can't open the terminal %s", path);
	file->fd = fd_to_temporary(plan, fd);
	return file->fd < 0 ? file->fd : 0;
}

/* Opens those that are hung up, or the others. Returns how many, or -errno (logged). */
static int open_slaves(struct plan *plan, const struct terminal *t, const char *path, int slave, bool hung_up)
{
	int n = 0;

	for (struct plan_file *f = t->first->with; f; f = f->with_next) {
		if (tty_state(f)->role == TTY_MASTER || tty_state(f)->hung_up != hung_up)
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
		const struct plan_file *reg = tty_state(f)->role == TTY_SLAVE && e->has_regf_id &&
							      !tty_state(f)->hung_up
						      ? plan_file_by_id(plan, e->regf_id)
						      : NULL;

		if (reg && reg->entry->reg && reg->entry->reg->has_mode && fchmod(slave, reg->entry->reg->mode & 07777))
			return log_errno(errno, "can't set the permissions of /dev/pts/%u", t->index);
	}
	return 0;
}

void tty_fill_termios(struct termios *t, const TermiosEntry *e)
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
		tty_fill_termios(&locked, info->termios_locked);
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
		tty_fill_termios(&settings, t->master->termios);
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
		if (tty_state(f)->role == TTY_MASTER)
			err = fd_take(plan, f, fcntl(master, F_DUPFD_CLOEXEC, 0));
	return err;
}

static int open_end(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

	return fd < 0 ? log_errno(errno, "can't open the terminal %s", path) : fd;
}

/* Makes a pty with all that refers to it. */
int tty_make_pty(struct plan *plan, struct terminal *t)
{
	_cleanup_close_ int master = open_master(plan, t), slave = -1;
	char path[32];
	uint32_t index;
	bool opened = t->slave || t->leader || t->output || (t->master && t->master->peer_closed);

	if (master < 0 || ioctl(master, TIOCGPTN, &index))
		return master < 0 ? master : -errno;
	for (const struct plan_file *f = t->first->with; f; f = f->with_next)
		opened |= tty_state(f)->role != TTY_MASTER;
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
