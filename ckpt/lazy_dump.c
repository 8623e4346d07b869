/*
 * Gives memory of a tree that stands still to a restore that is running elsewhere (page_protocol.h), through
 * /proc/PID/mem. When the other side says that it has all it wants, the tree ends here; when it is gone without a word,
 * the tree goes on here.
 */
#include "lazy_dump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "net.h"
#include "opts.h"
#include "page_server.h"

struct task_source {
	struct page_source source; /* the first member */
	struct dump *d;
	int mem; /* /proc/PID/mem of the task that was asked for last; -1: none */
	pid_t pid; /* of it */
};

int lazy_dump_begin(struct lazy_dump *l, const struct opts *opts)
{
	*l = (struct lazy_dump){ .listener = -1 };
	if (!opts->lazy_pages)
		return 0;
	l->listener = net_listen(opts, &l->connected);
	return l->listener < 0 ? l->listener : 0;
}

void lazy_dump_end(struct lazy_dump *l)
{
	cleanup_close(&l->listener);
	l->listener = -1;
}

/* Opens the memory of a task. Returns 0 or -errno (logged). */
static int open_task(struct task_source *s, uint64_t pid)
{
	if (s->mem >= 0 && (uint64_t)s->pid == pid)
		return 0;
	cleanup_close(&s->mem);
	s->mem = -1;
	for (size_t i = 0; i < s->d->n_tasks && s->mem < 0; i++) {
		const struct dump_task *t = s->d->tasks[i];

		if ((uint64_t)t->pid != pid || t->state == TASK_DEAD)
			continue;
		s->pid = t->pid;
		s->mem = openat(t->proc, "mem", O_RDONLY | O_CLOEXEC);
		if (s->mem < 0)
			return log_errno(errno, "can't open the memory of task %d", t->pid);
	}
	return s->mem < 0 ? log_errno(ESRCH, "there is no task %llu to give memory of", (unsigned long long)pid) : 0;
}

static int read_task(struct page_source *source, uint64_t pid, uint64_t vaddr, uint64_t pages, void *buf)
{
	struct task_source *s = (struct task_source *)source;
	uint64_t len = pages * IMAGE_PAGE_SIZE;
	int err = open_task(s, pid);

	for (uint64_t done = 0; !err && done < len;) {
		ssize_t n = pread(s->mem, (char *)buf + done, len - done, vaddr + done);

		if (n <= 0)
			return log_errno(n ? errno : EIO, "can't read the memory of task %d at 0x%llx", s->pid,
					 (unsigned long long)(vaddr + done));
		done += n;
	}
	return err;
}

/* Waits for a client, if nobody has made the connection yet. Returns it or -errno (logged). */
static int await_client(struct lazy_dump *l)
{
	struct pollfd listener = { .fd = l->listener, .events = POLLIN };
	int err = 0;

	if (l->connected)
		return take_fd(&l->listener);
	while (!err && poll(&listener, 1, 100) <= 0)
		err = interrupted();
	return err ? err : net_accept(l->listener);
}

int lazy_dump_serve(struct lazy_dump *l, struct dump *d)
{
	struct task_source source = { .source = { read_task }, .d = d, .mem = -1 };
	struct page_server server = { .images = &d->images, .source = &source.source, .stop = interrupted };

	if (l->listener < 0)
		return 0;
	int err = net_tell_status(d->opts);
	if (!err) {
		server.sock = await_client(l);
		err = server.sock < 0 ? server.sock : page_server_run(&server);
		cleanup_close(&server.sock);
	}
	cleanup_close(&source.mem);
	/* What is in the images is not all: nobody shall take it for a set. */
	if (err && unlinkat(d->images.fd, "inventory.img", 0))
		log_warn("can't remove inventory.img, though memory is missing in %s", d->images.path);
	return err;
}
