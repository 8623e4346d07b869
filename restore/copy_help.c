/*
 * The second half of what restorer_pages.h does: pages are loaded into a task from here, through its userfaultfd
 * (UFFDIO_COPY) or by process_vm_writev(2). The task waits for what was begun here before it goes on.
 */
#include "copy_help.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "page_files.h"
#include "restore_stats.h"
#include "stage.h"
#include "tracee.h"

static int fetch_uffd(const struct restorer_help *help)
{
	_cleanup_close_ int pidfd = pidfd_open(help->pid, 0);

	return pidfd < 0 ? -1 : pidfd_getfd(pidfd, help->uffd, 0);
}

/* The task's list of reads, with our own pages behind it. */
static int fetch_reads(const struct restorer_help *help, struct restorer_read *reads, struct restorer_pages *pages)
{
	int err = tracee_read(help->pid, (uint64_t)help->reads, reads, help->n_reads * sizeof(*reads));
	uint64_t n = 0;

	if (!err)
		err = tracee_read(help->pid, (uint64_t)reads[0].pages, pages, help->n_pages * sizeof(*pages));
	for (uint64_t i = 0; i < help->n_reads && !err; i++) {
		reads[i].pages = pages + n;
		n += reads[i].count;
		if (n > help->n_pages)
			err = -EBADMSG;
	}
	return err;
}

/* Puts bytes of a piece where they belong: all of it, or a part of its only run. */
static int put(const struct restorer_help *help, int uffd, void *buf, const struct restorer_piece *piece, uint64_t done,
	       uint64_t len)
{
	struct iovec from = { buf, len }, to[RESTORER_BATCH] = { { (char *)piece->pages[0].addr + done, len } };
	char *at = buf;

	for (uint32_t i = 0; i < piece->count; i++) {
		if (piece->count > 1)
			to[i] = (struct iovec){ (void *)piece->pages[i].addr, piece->pages[i].len };
		struct uffdio_copy copy = { (uint64_t)to[i].iov_base, (uint64_t)at, to[i].iov_len,
					    UFFDIO_COPY_MODE_DONTWAKE, 0 };
		if (uffd >= 0 && ioctl(uffd, UFFDIO_COPY, &copy))
			return -errno;
		at += to[i].iov_len;
	}
	if (uffd >= 0)
		return 0;
	ssize_t n = process_vm_writev(help->pid, &from, 1, to, piece->count, 0);
	return n < 0 ? -errno : (uint64_t)n < len ? -EFAULT : 0;
}

static int load_piece(const struct restorer_help *help, int uffd, int fd, void *buf, const struct restorer_piece *piece)
{
	for (uint64_t done = 0; done < piece->len;) {
		uint64_t len = piece->len - done < RESTORER_COPY ? piece->len - done : RESTORER_COPY;

		for (uint64_t got = 0; got < len;) {
			ssize_t n = pread(fd, (char *)buf + got, len - got, piece->offset + done + got);

			if (n <= 0)
				return n ? -errno : -ENODATA;
			got += n;
		}
		int err = put(help, uffd, buf, piece, done, len);
		if (err)
			return err;
		done += len;
	}
	return 0;
}

static int load_pieces(struct plan *plan, struct restorer_help *help, const struct restorer_read *reads, int uffd)
{
	const struct plan_task *task = plan_task_by_pid(plan, help->pid);
	_cleanup_page_files_ struct page_files files = { plan, task ? &task->pages : NULL, NULL };
	_cleanup_free_ void *buf = malloc(RESTORER_COPY);
	struct restorer_place at = {};
	struct restorer_piece piece;
	int err = 0;

	if (!task || !buf)
		return 0;
	while (!err && !stage_interrupted() &&
	       restorer_find_piece(reads, help->n_reads, uffd >= 0, &at,
				   __atomic_fetch_add(&help->next, 1, __ATOMIC_SEQ_CST), &piece)) {
		int fd = page_files_get(&files, piece.file);

		err = fd < 0 ? fd : load_piece(help, uffd, fd, buf, &piece);
		restore_progress_look(plan);
	}
	return err;
}

/* Closes the userfaultfd in the end: with one of us open the task could not fill the rest of these areas. */
static int help_task(struct plan *plan, struct restorer_help *help)
{
	_cleanup_close_ int uffd = help->uffd < 0 ? -1 : fetch_uffd(help);
	_cleanup_free_ struct restorer_read *reads = malloc(help->n_reads * sizeof(*reads));
	_cleanup_free_ struct restorer_pages *pages = malloc(help->n_pages * sizeof(*pages));
	bool able = (help->uffd < 0 || uffd >= 0) && reads && pages && !fetch_reads(help, reads, pages);

	return able ? load_pieces(plan, help, reads, uffd) : 0;
}

void copy_help(struct plan *plan)
{
	struct restorer_help *help = &plan->shared->help;
	uint32_t wanted = HELP_WANTED;

	if (!__atomic_compare_exchange_n(&help->state, &wanted, HELP_GIVEN, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	int err = help_task(plan, help);
	/* Nobody else copies a piece that was taken. A task that has died is seen by who looks for the dead. */
	if (err && err != -ESRCH) {
		log_errno(-err, "can't load pages into task %d", help->pid);
		__atomic_store_n(&plan->shared->failed, 2, __ATOMIC_SEQ_CST);
	}
	stage_set_word(&help->state, HELP_DONE);
}
