/*
 * PAGEMAP_SCAN (6.7) tells which pages are huge, process_madvise(2) with MADV_COLLAPSE (6.1) makes them so. Each takes
 * about 0.2 ms, in which the task waits if it needs that memory.
 */
#include "huge_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cleanup.h"
#include "kernel_abi.h"
#include "log.h"
#include "pagemap.h"

#define REGIONS 256
#define HUGE_PAGE (2ul << 20)
#define ADDRESS_END ((1ul << 47) - 4096)

/* Adds what has all of these categories of pages, and none of those, in the range. Returns 0 or -errno. */
static int find(int pagemap, struct run range, uint64_t all, uint64_t none, struct run_list *list)
{
	struct page_region regions[REGIONS];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = range.start,
		.end = range.end,
		.vec = (uint64_t)regions,
		.vec_len = REGIONS,
		.category_mask = all | none,
		.category_inverted = none,
		.return_mask = all,
	};
	int err = 0;

	while (!err && arg.start < arg.end) {
		long n = ioctl(pagemap, PAGEMAP_SCAN, &arg);

		if (n < 0)
			return -errno;
		for (long i = 0; i < n && !err; i++)
			err = run_add(list, (struct run){ regions[i].start, regions[i].end });
		arg.start = arg.walk_end;
	}
	return err;
}

void huge_pages_find(struct huge_pages *h, pid_t pid, int proc)
{
	*h = (struct huge_pages){ pidfd_open(pid, 0), openat(proc, "pagemap", O_RDONLY | O_CLOEXEC), pid, {} };
	if (h->pidfd < 0 || h->pagemap < 0 ||
	    find(h->pagemap, (struct run){ 0, ADDRESS_END }, PAGE_IS_PRESENT | PAGE_IS_HUGE, PAGE_IS_FILE, &h->before))
		huge_pages_forget(h);
}

/* Returns how many of the huge pages in a range of small pages, which are all there, are made. */
static size_t collapse(const struct huge_pages *h, const struct run *r)
{
	size_t n = 0;

	for (uint64_t at = (r->start + HUGE_PAGE - 1) & -HUGE_PAGE; at + HUGE_PAGE <= r->end; at += HUGE_PAGE) {
		const struct iovec iov = { (void *)at, HUGE_PAGE };

		if (syscall(SYS_process_madvise, h->pidfd, &iov, 1, MADV_COLLAPSE, 0) == HUGE_PAGE)
			n++;
		else if (errno != EAGAIN && errno != EBUSY && errno != EINVAL && errno != ENOMEM)
			return n; /* it is gone, or that is not for us to do */
	}
	return n;
}

size_t huge_pages_restore(struct huge_pages *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->before.n; i++) {
		struct run_list small = {};

		if (!find(h->pagemap, h->before.r[i], PAGE_IS_PRESENT, PAGE_IS_HUGE | PAGE_IS_FILE | PAGE_IS_PFNZERO,
			  &small))
			for (size_t k = 0; k < small.n; k++)
				n += collapse(h, &small.r[k]);
		free(small.r);
	}
	if (n)
		log_info("task %d: %zu huge pages that were split are whole again", h->pid, n);
	huge_pages_forget(h);
	return n;
}

void huge_pages_forget(struct huge_pages *h)
{
	if (h->pidfd >= 0)
		close(h->pidfd);
	if (h->pagemap >= 0)
		close(h->pagemap);
	free(h->before.r);
	*h = (struct huge_pages){ -1, -1, 0, {} };
}
