/* Sessions that own a terminal of the tree. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "plan.h"
#include "task.h"
#include "tty.h"

int session_take_terminal(const struct plan_task *task)
{
	if (!task->terminal || task->terminal->slave_fd < 0)
		return 0;
	if (!ioctl(task->terminal->slave_fd, TIOCSCTTY, 0))
		return 0;
	if (task->terminal->outside)
		log_warn("can't make a terminal from outside that of session %d: %s (it may be another's)", task->sid,
			 strerror(errno));
	else
		return log_errno(errno, "can't make /dev/pts/%u the terminal of session %d", task->terminal->index,
				 task->sid);
	return 0;
}

void session_set_foreground(const struct plan_task *task)
{
	const struct terminal *t = task->terminal;
	pid_t group = t ? (pid_t)t->group : 0;

	if (!t || t->slave_fd < 0 || !group || group == task->pid)
		return;
	/* All its members may have ended since it was put there: then it is nobody's. */
	if (ioctl(t->slave_fd, TIOCSPGRP, &group))
		log_warn("can't put group %d into the foreground of /dev/pts/%u: %s", group, t->index, strerror(errno));
}

int session_open_ctty(struct plan *plan, int tty, int flags)
{
	int status = 0, fd;
	/* The lowest number that is free: the helper, which shares our descriptors, will get it. */
	int free_fd = fcntl(tty, F_DUPFD_CLOEXEC, 0);

	if (free_fd < 0)
		return log_errno(errno, "can't duplicate a terminal");
	close(free_fd);
	pid_t helper = tree_fork_anonymous(plan, CLONE_FILES);
	if (!helper) {
		fd = setsid() < 0 || ioctl(tty, TIOCSCTTY, 0) ? -1 : open("/dev/tty", flags | O_CLOEXEC);
		_exit(fd == free_fd ? 0 : 1);
	}
	if (helper < 0)
		return log_errno(errno, "can't fork a helper that opens /dev/tty");
	if (waitpid(helper, &status, 0) != helper || status)
		return log_errno(ECHILD, "the helper could not open /dev/tty");
	return free_fd;
}
