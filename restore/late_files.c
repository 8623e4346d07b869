/*
 * Late files: pidfds, and files of /proc/PID, of tasks that are younger than the owner of the file. The owner opens
 * them when all tasks exist, and sends them to the others who need them over a socket that these have inherited. Each
 * task opens its own first, so nobody waits in a ring.
 */
#include "late_files.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "fds.h"
#include "log.h"
#include "plan.h"

int late_add_user(struct plan *plan, struct plan_file *file, const struct plan_task *task)
{
	if (!file->late || task == file->with->owner)
		return 0;
	if (!file->late_users)
		file->late_users = plan_alloc(plan, plan->n_tasks * sizeof(*file->late_users));
	if (!file->late_users)
		return -ENOMEM;
	file->n_late_users += !file->late_users[task->index];
	file->late_users[task->index] = true;
	return 0;
}

int late_find_users(struct plan *plan)
{
	int err = 0;

	for (size_t i = 0; i < plan->n_tasks; i++)
		for (size_t f = 0; !err && f < plan->tasks[i].n_fds; f++)
			if (plan->tasks[i].fds[f].file)
				err = late_add_user(plan, plan->tasks[i].fds[f].file, &plan->tasks[i]);
	return err;
}

size_t late_count_fds(const struct plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n_files; i++)
		if (plan->files[i].n_late_users)
			/* who shares a table with others takes one beside theirs */
			n += 2 + (plan->any_sharing ? plan->files[i].n_late_users : 0);
	return n;
}

int late_prepare(struct plan *plan, struct plan_file *file)
{
	int pair[2];

	if (!file->n_late_users)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return log_errno(errno, "can't make a socket to pass file 0x%x", file->id);
	for (size_t i = 0; i < 2; i++)
		file->late_pair[i] = fd_to_temporary(plan, pair[i]);
	return file->late_pair[0] < 0 ? file->late_pair[0] : file->late_pair[1] < 0 ? file->late_pair[1] : 0;
}

static int pass(const struct plan_file *file)
{
	for (size_t i = 0; i < file->n_late_users; i++) {
		int err = fds_send(file->late_pair[1], "", 1, &file->fd, 1);

		if (err)
			return log_errno(-err, "can't pass file 0x%x to other tasks", file->id);
	}
	return 0;
}

static int take(struct plan *plan, struct plan_file *file)
{
	char byte;
	int fd;
	ssize_t n = fds_receive(file->late_pair[0], &byte, 1, &fd, 1);

	if (n < 0 || fd < 0)
		return log_errno(n < 0 ? -n : EMFILE, "can't take file 0x%x from its owner", file->id);
	file->fd = fd_to_temporary(plan, fd);
	return file->fd < 0 ? file->fd : 0;
}

int late_open_files(struct plan *plan, struct plan_task *task)
{
	int err = 0;

	for (size_t i = 0; !err && i < plan->n_files; i++) {
		struct plan_file *file = &plan->files[i];

		if (!file->late || file->with->owner != task)
			continue;
		err = file->kind->open(plan, file);
		if (!err)
			err = pass(file);
	}
	for (size_t i = 0; !err && i < plan->n_files; i++)
		if (plan->files[i].late_users && plan->files[i].late_users[task->index])
			err = take(plan, &plan->files[i]);
	return err;
}
