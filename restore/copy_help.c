/*
 * The second half of what restorer_pages.h does: UFFDIO_COPY through the task's userfaultfd, from here. The task waits
 * for what was begun here before it goes on.
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

static int copy_piece(int uffd, int fd, void *buf, const struct restorer_piece *piece)
{
	struct uffdio_copy copy = { piece->addr, (uint64_t)buf, piece->len, UFFDIO_COPY_MODE_DONTWAKE, 0 };

	for (uint64_t done = 0; done < piece->len;) {
		ssize_t n = pread(fd, (char *)buf + done, piece->len - done, piece->offset + done);

		if (n <= 0)
			return n ? -errno : -ENODATA;
		done += n;
	}
	return ioctl(uffd, UFFDIO_COPY, &copy) ? -errno : 0;
}

static int copy_pieces(struct plan *plan, struct restorer_help *help, const struct restorer_read *reads, int uffd)
{
	const struct plan_task *task = plan_task_by_pid(plan, help->pid);
	_cleanup_page_files_ struct page_files files = { plan, task ? &task->pages : NULL, NULL };
	_cleanup_free_ void *buf = malloc(RESTORER_COPY);
	struct restorer_copy_place at = {};
	struct restorer_piece piece;
	int err = 0;

	if (!task || !buf)
		return 0;
	while (!err && !stage_interrupted() &&
	       restorer_find_piece(reads, help->n_reads, &at, __atomic_fetch_add(&help->next, 1, __ATOMIC_SEQ_CST),
				   &piece)) {
		int fd = page_files_get(&files, piece.file);

		err = fd < 0 ? fd : copy_piece(uffd, fd, buf, &piece);
		restore_progress_look(plan);
	}
	return err;
}

/* Closes the userfaultfd in the end: with one of us open the task could not fill the rest of these areas. */
static int help_task(struct plan *plan, struct restorer_help *help)
{
	_cleanup_close_ int uffd = fetch_uffd(help);
	_cleanup_free_ struct restorer_read *reads = malloc(help->n_reads * sizeof(*reads));
	_cleanup_free_ struct restorer_pages *pages = malloc(help->n_pages * sizeof(*pages));
	bool able = uffd >= 0 && reads && pages && !fetch_reads(help, reads, pages);

	return able ? copy_pieces(plan, help, reads, uffd) : 0;
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
		log_errno(-err, "can't copy pages into task %d", help->pid);
		__atomic_store_n(&plan->shared->failed, 2, __ATOMIC_SEQ_CST);
	}
	stage_set_word(&help->state, HELP_DONE);
}
