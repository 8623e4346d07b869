/*
 * The terminal of a shell job: descriptors of the terminal that the job was started on become descriptors of
 * the terminal that ckpt restore was started on. Its settings become those of the images when nothing can
 * fail any more. Not handled: terminals whose master side is in the tree, consoles.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <asm/termbits.h>

#include "log.h"
#include "opts.h"
#include "plan.h"

struct ttys {
	size_t n;
	TtyInfoEntry **list;
};

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

static int tty_read(struct plan *plan, struct plan_file *file)
{
	const TtyFileEntry *e = file->entry->tty;
	const TtyInfoEntry *info = e ? find_info(plan, e->tty_info_id) : NULL;

	if (!info) {
		log_err("files.img: terminal 0x%x has no entry, or none in tty-info.img", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	file->data = (void *)info;
	if (info->type != TTY_TYPE__PTY && info->type != TTY_TYPE__CTTY)
		plan_refuse(plan, "terminal 0x%x is a console or serial line (type %u): not supported yet", file->id,
			    info->type);
	/* Masters are opened as /dev/ptmx, device 5:2. */
	else if (info->rdev == 0x502)
		plan_refuse(plan, "terminal 0x%x is the master side of a pty: not supported yet", file->id);
	else if (info->sid && plan_task_by_pid(plan, info->sid))
		plan_refuse(plan, "terminal 0x%x belongs to session %u of the tree: not supported yet", file->id,
			    info->sid);
	else if (!plan->opts->shell_job)
		plan_refuse(plan,
			    "terminal 0x%x is not part of the tree: to use the terminal of ckpt restore instead, "
			    "give --shell-job",
			    file->id);
	else if (plan->tty_fd < 0)
		plan_refuse(plan, "--shell-job needs a terminal, but none of stdin, stdout and stderr is one");
	return 0;
}

static int tty_open(struct plan *plan, struct plan_file *file)
{
	const TtyInfoEntry *info = file->data;
	char path[32];

	if (info->type == TTY_TYPE__CTTY)
		snprintf(path, sizeof(path), "/dev/tty");
	else
		snprintf(path, sizeof(path), "/proc/self/fd/%d", plan->tty_fd);
	int fd = open(path, (file->flags & (O_ACCMODE | O_NONBLOCK | O_APPEND | O_SYNC)) | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return log_errno(errno, "can't open the terminal %s", path);
	file->fd = fd_to_temporary(plan, fd);
	return file->fd < 0 ? file->fd : 0;
}

static void fill_termios(struct termios2 *t, const TermiosEntry *e)
{
	t->c_iflag = e->c_iflag;
	t->c_oflag = e->c_oflag;
	t->c_cflag = e->c_cflag;
	t->c_lflag = e->c_lflag;
	t->c_line = e->c_line;
	t->c_ispeed = e->c_ispeed;
	t->c_ospeed = e->c_ospeed;
	for (size_t i = 0; i < NCCS && i < e->n_c_cc; i++)
		t->c_cc[i] = e->c_cc[i];
}

/* The terminal may be in the middle of something: only a warning when it does not take its settings. */
static int tty_last(struct plan *plan, struct plan_file *file)
{
	const TtyInfoEntry *info = file->data;
	struct termios2 t = {};
	pid_t group = info->pgrp;

	if (!info->termios || ioctl(plan->tty_fd, TCGETS2, &t))
		return 0;
	fill_termios(&t, info->termios);
	if (ioctl(plan->tty_fd, TCSETS2, &t))
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
	.open = tty_open,
	.last = tty_last,
};
