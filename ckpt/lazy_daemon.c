/*
 * The daemon of a lazy restore. The main thread listens to the restore and to all userfaultfds (lazy_process.c); two
 * others fill in what nobody has asked for once the tree runs, from where it was touched last.
 *
 * Whatever goes wrong, no page is given that is not the right one: the daemon ends, and the keeper (lazy_keep.c) kills
 * the tree.
 */
#include "lazy_daemon.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fds.h"
#include "lazy_process.h"
#include "lazy_protocol.h"
#include "log.h"

#define EVENTS 64
#define RANGES 512 /* that are read at once */

static int no_memory(void)
{
	return log_errno(ENOMEM, "a lazy restore");
}

/* Whether the descriptors came that such a message has. */
static bool is_complete(const struct lazy_task *task, const int fds[LAZY_FDS])
{
	int wanted = task->what == LAZY_DONE ? 0 : task->n_ranges ? LAZY_FDS : 1;

	for (int i = 0; i < LAZY_FDS; i++)
		if ((fds[i] >= 0) != (i < wanted))
			return false;
	return task->version == LAZY_VERSION && task->n_ranges <= LAZY_RANGES_MAX &&
	       (task->what == LAZY_DONE || task->what == LAZY_TASK);
}

/* Takes a message and its descriptors. Returns 1, 0 at the end, or -errno (logged). */
static int receive(int sock, struct lazy_task *task, int fds[LAZY_FDS])
{
	ssize_t n = fds_receive(sock, task, sizeof(*task), fds, LAZY_FDS);

	if (!n || (n == sizeof(*task) && is_complete(task, fds)))
		return n > 0;
	for (int i = 0; i < LAZY_FDS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	return log_errno(EPROTO, "the restore is none of this version of ckpt");
}

/* Pages from the page server are asked for by their address at the dump. */
static int add_range(struct daemon *d, const struct lazy_range *r, struct lazy_set *set)
{
	struct lazy_piece piece = {
		.start = r->start, .end = r->start + r->len, .image = r->start, .file = LAZY_REMOTE, .offset = r->offset
	};

	if (r->away && d->options->page_server < 0) {
		log_err("pages are in no image, a page server has them: say where it is (--page-server --address "
			"--port)");
		return -EINVAL;
	}
	if (d->options->page_server < 0) {
		int file = lazy_find_file(d, r->depth, r->pages_id);

		if (file < 0)
			return file;
		piece.file = file;
	}
	return lazy_set_add(set, &piece) ? no_memory() : 0;
}

static int read_ranges(struct daemon *d, int fd, uint32_t n, struct lazy_set *set)
{
	struct lazy_range ranges[RANGES];
	uint64_t end = 0;
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++) {
		const struct lazy_range *r = &ranges[i % RANGES];
		uint32_t some = n - i < RANGES ? n - i : RANGES;

		if (r == ranges && pread(fd, ranges, some * sizeof(*r), i * sizeof(*r)) != (ssize_t)(some * sizeof(*r)))
			return log_errno(EPROTO, "the list of pages is too short");
		if (r->start < end || !r->len || (r->start | r->len | r->offset) % IMAGE_PAGE_SIZE ||
		    r->start + r->len < r->start)
			return log_errno(EPROTO, "the list of pages makes no sense");
		end = r->start + r->len;
		err = add_range(d, r, set);
	}
	return err;
}

static int take_task(struct daemon *d, const struct lazy_task *task, int fds[LAZY_FDS])
{
	struct lazy_set set = {};
	int err = 0, slot;

	if (task->n_ranges) {
		err = read_ranges(d, fds[LAZY_FD_RANGES], task->n_ranges, &set);
		close(fds[LAZY_FD_RANGES]);
	} else {
		slot = keep_add(d->keep, -1, fds[LAZY_FD_PID]);
		err = slot < 0 ? slot : 0;
	}
	if (!err && task->n_ranges) {
		log_info("task %d: %llu pages come late", task->pid, (unsigned long long)set.bytes / IMAGE_PAGE_SIZE);
		err = lazy_add_process(d, fds[LAZY_FD_USERFAULT], fds[LAZY_FD_PID], task->pid, &set, &set);
	}
	lazy_set_free(&set);
	if (!err && send(d->options->restore, "", 1, MSG_NOSIGNAL) != 1)
		err = log_errno(errno, "the restore is gone");
	return err;
}

static int listen_to_restore(struct daemon *d)
{
	struct lazy_task task;
	int fds[LAZY_FDS];
	int got = receive(d->options->restore, &task, fds);

	if (got < 0)
		return got;
	if (!got && !d->restored)
		return log_errno(ECANCELED, "the restore failed");
	if (!got) {
		epoll_ctl(d->epoll, EPOLL_CTL_DEL, d->options->restore, NULL);
		return 0;
	}
	if (task.what == LAZY_TASK)
		return take_task(d, &task, fds);
	log_info("the tree runs");
	d->restored = true;
	d->filling = true;
	return 0;
}

/* All pages have come, or nobody wants them. */
static bool is_done(struct daemon *d)
{
	bool done = d->restored;

	for (struct process *p = d->processes; p; p = p->next) {
		pthread_rwlock_wrlock(&p->events); /* nothing is on its way */
		if (d->restored && p->uffd >= 0 && !p->set.bytes)
			lazy_end_process(d, p);
		done &= p->uffd < 0;
		pthread_rwlock_unlock(&p->events);
	}
	return done;
}

static int add_fd(struct daemon *d, int fd, void *what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

	return epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &event) ? log_errno(errno, "can't listen to a descriptor") : 0;
}

static int start_keeper(struct daemon *d)
{
	d->keeper = keep_start(d->keep);
	if (d->keeper < 0)
		return d->keeper;
	d->keeper_fd = syscall(SYS_pidfd_open, d->keeper, 0);
	if (d->keeper_fd < 0)
		return log_errno(errno, "can't open a pidfd of the keeper");
	return add_fd(d, d->keeper_fd, &d->keeper);
}

/* Somebody has killed it: the next one. */
static int replace_keeper(struct daemon *d)
{
	waitpid(d->keeper, NULL, 0);
	epoll_ctl(d->epoll, EPOLL_CTL_DEL, d->keeper_fd, NULL);
	close(d->keeper_fd);
	return start_keeper(d);
}

/* Serves again those who wait for what could not be done. *any: there are some left. */
static int serve_later(struct daemon *d, bool *any)
{
	int err = 0;

	*any = false;
	for (struct process *p = d->processes; p && !err; p = p->next) {
		if (!p->n_later && !lazy_moves_wait(&p->moves))
			continue;
		err = lazy_serve(d, p);
		*any |= p->n_later > 0 || lazy_moves_wait(&p->moves);
	}
	return err;
}

static int loop(struct daemon *d)
{
	struct epoll_event events[EVENTS];
	uint64_t unused;
	bool later = false;
	int err = 0;

	while (!err && !d->failed && !is_done(d)) {
		int n = epoll_wait(d->epoll, events, EVENTS, later ? 1 : 1000);

		for (int i = 0; i < n && !err; i++) {
			if (events[i].data.ptr == d)
				err = listen_to_restore(d);
			else if (events[i].data.ptr == &d->keeper)
				err = replace_keeper(d);
			else if (events[i].data.ptr)
				err = lazy_serve(d, events[i].data.ptr);
			else if (read(d->wake, &unused, sizeof(unused)) < 0)
				err = -errno;
		}
		if (!err)
			err = serve_later(d, &later);
	}
	return err ? err : d->failed ? -ECANCELED : 0;
}

static int start(struct daemon *d)
{
	d->keep = keep_create();
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	d->wake = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&d->fill_lock, NULL);
	pthread_mutex_init(&d->server_lock, NULL);
	if (!d->keep || d->epoll < 0 || d->wake < 0)
		return no_memory();
	/* Before there are threads: it is a copy of this one. */
	int err = start_keeper(d);
	if (!err)
		err = add_fd(d, d->options->restore, d);
	if (!err)
		err = add_fd(d, d->wake, NULL);
	for (int i = 0; !err && i < 2; i++)
		err = -pthread_create(&d->fillers[i], NULL, lazy_fill, d);
	return err;
}

/* Nobody uses it any more. */
static void free_daemon(struct daemon *d)
{
	for (struct process *p = d->processes, *next; p; p = next) {
		next = p->next;
		free(p->later);
		free(p);
	}
	for (size_t i = 0; i < d->n_files; i++)
		close(d->files[i].fd);
	free(d->files);
	close(d->keeper_fd);
	close(d->epoll);
	close(d->wake);
}

int lazy_daemon_run(const struct lazy_options *options)
{
	struct daemon d = { .options = options, .epoll = -1, .wake = -1 };
	int err = start(&d);

	if (!err)
		err = loop(&d);
	if (err)
		return err;
	log_info("all pages have come");
	/* They may still ask for pages that came meanwhile. */
	d.done = true;
	for (int i = 0; i < 2; i++)
		pthread_join(d.fillers[i], NULL);
	/* It has nothing to keep any more. */
	kill(d.keeper, SIGKILL);
	waitpid(d.keeper, NULL, 0);
	free_daemon(&d);
	return 0;
}
