/*
 * Pages on their way from tasks into page images, by two threads: while one waits for the kernel to make room in the
 * file, the other reads.
 */
#ifndef CKPT_PAGE_COPY_H
#define CKPT_PAGE_COPY_H

#include <stdint.h>

#include "dump.h"

/* The pages of one task. */
struct page_job {
	pid_t pid;
	int mem; /* /proc/PID/mem */
	int out; /* pages-N.img */
	const struct run_list *list; /* in the order of the image; those that are copied already are passed over */
	struct run_list *missed; /* of a task that runs: what was gone when its turn came is added. NULL: it stands
				    still, and that is an error */
	bool snapshot; /* it is a snapshot of the task that is read (snapshot.h) */
	uint64_t *us; /* gets the time that all threads spent on it; NULL: nobody asks */
};

/*
 * Copies what is not copied yet to where it belongs in the image, and shows the progress. Returns 0, -EINTR or another
 * -errno (logged).
 */
int pages_copy(const struct page_job *jobs, size_t n, struct progress *progress);

#endif
