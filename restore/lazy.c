/*
 * Hands memory that comes late over to ckpt lazy-pages. Each task registers the areas with a userfaultfd in its blob
 * and waits; the coordinator fetches that descriptor (pidfd_getfd) and the list of pages, and sends both to the daemon.
 * No task goes on before the daemon has said that it serves it: until then a page that is missing would be one of
 * zeros.
 */
#include "lazy.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "fds.h"
#include "lazy_protocol.h"
#include "log.h"
#include "opts.h"

#define BATCH 512 /* ranges that are converted at once */
#define ANSWER_TIMEOUT 60 /* seconds; the daemon may have to read page maps first */

int lazy_connect(struct plan *plan)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = ANSWER_TIMEOUT };
	const char *dir = plan->opts->work_dir ?: plan->opts->images_dir;

	if (!plan->opts->lazy_pages)
		return 0;
	int len = snprintf(address.sun_path, sizeof(address.sun_path), "%s/" LAZY_SOCKET, dir);
	if (len >= (int)sizeof(address.sun_path)) {
		log_err("the path of %s/" LAZY_SOCKET
			" is longer than a socket can have (107 bytes): use a relative one",
			dir);
		return -ENAMETOOLONG;
	}
	plan->lazy_sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (plan->lazy_sock < 0)
		return log_errno(errno, "can't make a socket");
	setsockopt(plan->lazy_sock, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (connect(plan->lazy_sock, (struct sockaddr *)&address, sizeof(address)))
		return log_errno(errno, "can't connect to %s: start ckpt lazy-pages on the same directory first",
				 address.sun_path);
	return 0;
}

/* Reads what the blob of a task has in its memory. */
static int read_blob(const struct plan_task *task, uint64_t from, void *to, size_t len)
{
	struct iovec local = { to, len }, remote = { (void *)from, len };
	ssize_t n = process_vm_readv(task->pid, &local, 1, &remote, 1, 0);

	return n == (ssize_t)len ? 0 : log_errno(n < 0 ? errno : EFAULT, "can't read the blob of task %d", task->pid);
}

static struct lazy_range describe(const struct plan_task *task, const struct restorer_lazy *l)
{
	const struct plan_page_file *file = &task->pages.files[l->file];

	return (struct lazy_range){
		.start = l->addr,
		.len = l->len,
		.depth = file->depth,
		.pages_id = file->id,
		.offset = l->offset,
		.away = l->away,
	};
}

/* The list of pages that are to come, in a memfd. Returns it or -errno (logged). */
static int make_list(const struct plan_task *task, const struct restorer_slot *slot)
{
	struct restorer_lazy lazy[BATCH];
	struct lazy_range ranges[BATCH];
	_cleanup_close_ int fd = memfd_create("lazy-pages", MFD_CLOEXEC);

	if (fd < 0)
		return log_errno(errno, "can't make a memfd");
	for (uint32_t done = 0; done < slot->n_lazy;) {
		uint32_t n = slot->n_lazy - done < BATCH ? slot->n_lazy - done : BATCH;
		int err = read_blob(task, slot->lazy + done * sizeof(*lazy), lazy, n * sizeof(*lazy));

		if (err)
			return err;
		for (uint32_t i = 0; i < n; i++)
			ranges[i] = describe(task, &lazy[i]);
		if (write(fd, ranges, n * sizeof(*ranges)) != (ssize_t)(n * sizeof(*ranges)))
			return log_errno(errno, "can't list the pages of task %d", task->pid);
		done += n;
	}
	return take_fd(&fd);
}

static int send_task(struct plan *plan, const struct lazy_task *task, const int *fds, size_t n_fds)
{
	int err = fds_send(plan->lazy_sock, task, sizeof(*task), fds, n_fds);

	return err ? log_errno(-err, "ckpt lazy-pages is gone") : 0;
}

static int hand_over(struct plan *plan, const struct plan_task *task)
{
	const struct restorer_slot *slot = &plan->shared->slots[task->index];
	const struct lazy_task message = { LAZY_VERSION, LAZY_TASK, task->pid, slot->n_lazy };
	char answer;

	_cleanup_close_ int pidfd = syscall(SYS_pidfd_open, task->pid, 0);
	if (pidfd < 0)
		return log_errno(errno, "can't open a pidfd of task %d", task->pid);
	_cleanup_close_ int uffd = slot->n_lazy ? syscall(SYS_pidfd_getfd, pidfd, slot->uffd, 0) : -1;
	if (slot->n_lazy && uffd < 0)
		return log_errno(errno, "can't get the userfaultfd of task %d", task->pid);
	_cleanup_close_ int list = slot->n_lazy ? make_list(task, slot) : -1;
	if (slot->n_lazy && list < 0)
		return list;
	const int fds[LAZY_FDS] = { [LAZY_FD_PID] = pidfd, [LAZY_FD_USERFAULT] = uffd, [LAZY_FD_RANGES] = list };
	int err = send_task(plan, &message, fds, slot->n_lazy ? LAZY_FDS : 1);
	if (err)
		return err;
	if (recv(plan->lazy_sock, &answer, 1, 0) != 1)
		return log_errno(errno ?: ECONNRESET, "ckpt lazy-pages did not take task %d: see its log", task->pid);
	return 0;
}

int lazy_hand_over(struct plan *plan)
{
	int err = 0;

	for (size_t i = 0; !err && i < plan->n_tasks; i++)
		if (plan_lives(&plan->tasks[i]))
			err = hand_over(plan, &plan->tasks[i]);
	return err;
}

void lazy_done(struct plan *plan)
{
	const struct lazy_task message = { LAZY_VERSION, LAZY_DONE, 0, 0 };

	if (plan->lazy_sock >= 0 && send_task(plan, &message, NULL, 0))
		log_warn("the tree runs, but ckpt lazy-pages is gone: it is killed if pages are missing");
}

void lazy_close(struct plan *plan)
{
	cleanup_close(&plan->lazy_sock);
	plan->lazy_sock = -1;
}
