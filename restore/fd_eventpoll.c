/*
 * epoll(7): what is watched. The kernel keeps a watch by its open file and by the number that this had when it was
 * added. So the owner of the epoll descriptor, where nothing else has that number yet, gives it to the file for a
 * moment. It must have all these files: their owner is one of its ancestors, or itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "late_files.h"
#include "log.h"
#include "plan.h"

static uint32_t number_of(const EventpollTfdEntry *w)
{
	return w->has_number ? w->number : w->tfd;
}

static int epoll_read_entry(struct plan *plan, struct plan_file *file)
{
	const EventpollFileEntry *e = file->entry->epfd;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind EVENTPOLL but has no epoll entry", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	file->data = plan_alloc(plan, e->n_tfd * sizeof(struct plan_file *));
	if (!file->data)
		return -ENOMEM;
	for (size_t i = 0; i < e->n_tfd; i++) {
		if (number_of(e->tfd[i]) > INT32_MAX - 1) {
			plan_refuse(plan, "files.img: epoll 0x%x watches descriptor %u: out of range", file->id,
				    number_of(e->tfd[i]));
		}
	}
	return 0;
}

/* The file behind a number in the first task that holds the epoll descriptor, which is all that CRIU says. */
static struct plan_file *find_by_number(const struct plan *plan, const struct plan_file *epoll, uint32_t number)
{
	for (size_t i = 0; i < plan->n_tasks; i++) {
		const struct plan_task *task = &plan->tasks[i];
		bool holder = false;

		for (size_t f = 0; f < task->n_fds; f++)
			holder |= task->fds[f].file == epoll;
		for (size_t f = 0; holder && f < task->n_fds; f++)
			if ((uint32_t)task->fds[f].fd == number)
				return task->fds[f].file;
		if (holder)
			return NULL;
	}
	return NULL;
}

/* Older images of CRIU have the watches in an image of their own: those are not read. */
static int epoll_resolve(struct plan *plan, struct plan_file *file)
{
	const EventpollFileEntry *e = file->entry->epfd;
	struct plan_file **targets = file->data;

	for (size_t i = 0; i < e->n_tfd; i++) {
		const EventpollTfdEntry *w = e->tfd[i];

		targets[i] = w->has_file_id ? plan_file_by_id(plan, w->file_id) : find_by_number(plan, file, w->tfd);
		if (!targets[i] || !targets[i]->kind || targets[i] == file) {
			plan_refuse(plan, "files.img: epoll 0x%x watches descriptor %u, which is not in the images",
				    file->id, w->tfd);
			targets[i] = NULL;
		} else if (number_of(w) < INT32_MAX && plan_reserve_fd(plan, number_of(w), targets[i])) {
			return -ENOMEM;
		}
	}
	return 0;
}

static bool epoll_reach(struct plan *plan, struct plan_file *file)
{
	struct plan_file **targets = file->data;
	bool moved = false;

	for (size_t i = 0; i < file->entry->epfd->n_tfd; i++) {
		struct plan_file *with = targets[i] ? targets[i]->with : NULL;
		struct plan_task *owner = with ? plan_common_ancestor(with->owner, file->owner) : NULL;

		if (!with || with->owner == owner)
			continue;
		with->owner = owner;
		moved = true;
	}
	return moved;
}

/* The owner adds the watches, so it needs what it watches. */
static void epoll_used_by(struct plan *plan, struct plan_file *file, struct plan_task *ancestor)
{
	struct plan_file **targets = file->data;

	for (size_t i = 0; i < file->entry->epfd->n_tfd; i++)
		if (targets[i] && late_add_user(plan, targets[i], file->with->owner))
			plan_refuse(plan, "not enough memory");
}

static int epoll_open(struct plan *plan, struct plan_file *file)
{
	return fd_take(plan, file, epoll_create1(EPOLL_CLOEXEC));
}

static int add_watch(struct plan_file *file, const EventpollTfdEntry *w, const struct plan_file *target)
{
	struct epoll_event event = { .events = w->events, .data.u64 = w->data };
	int number = number_of(w), err = 0;

	if (target->fd != number && dup3(target->fd, number, O_CLOEXEC) < 0)
		return log_errno(errno, "can't duplicate file 0x%x to %d", target->id, number);
	if (epoll_ctl(file->fd, EPOLL_CTL_ADD, number, &event))
		err = log_errno(errno, "can't let epoll 0x%x watch file 0x%x as descriptor %d", file->id, target->id,
				number);
	if (target->fd != number)
		close(number);
	return err;
}

/* Of files that are opened late, or of all others. */
static int add_watches(struct plan_file *file, bool late)
{
	struct plan_file **targets = file->data;
	int err = 0;

	for (size_t i = 0; !err && i < file->entry->epfd->n_tfd; i++)
		if (targets[i]->late == late)
			err = add_watch(file, file->entry->epfd->tfd[i], targets[i]);
	return err;
}

static int epoll_connect(struct plan *plan, struct plan_file *file)
{
	return add_watches(file, false);
}

static int epoll_finish(struct plan *plan, struct plan_file *file)
{
	return add_watches(file, true);
}

const struct restore_fd_kind restore_fd_eventpoll = {
	.name = "epoll",
	.type = FD_TYPES__EVENTPOLL,
	.read = epoll_read_entry,
	.resolve = epoll_resolve,
	.reach = epoll_reach,
	.used_by = epoll_used_by,
	.open = epoll_open,
	.connect = epoll_connect,
	.finish = epoll_finish,
};
