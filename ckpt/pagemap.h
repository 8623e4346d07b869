/* Which pages of a task belong into its image, and which of them were written since they were copied. */
#ifndef CKPT_PAGEMAP_H
#define CKPT_PAGEMAP_H

#include <stdbool.h>

#include "dump.h"

struct page_scan {
	pid_t pid; /* for messages */
	int pagemap; /* /proc/PID/pagemap */
	const struct vma_list *vmas;
	bool tracked; /* pages that are armed and were not written since are marked as copied */
	struct run_list *guards; /* gets guard regions, too; NULL: nobody asks */
};

/* Adds the private pages of the areas to the list, ascending. Returns 0, -ESRCH when it ended, or -errno (logged). */
int pages_find(const struct page_scan *scan, struct run_list *list);
/*
 * Arms all pages in tracked areas that were written since the last time, and adds them to the list. A page that is
 * read after that and not found written later is what was read. Returns 0 or -errno (not logged).
 */
int pages_arm(int pagemap, struct run_list *list);
/* The same for a part of the memory, without telling what was written there. */
int pages_arm_run(int pagemap, struct run run);

/* For qsort(3): by start, then by end. */
int run_compare(const void *a, const void *b);
/* Marks as not copied what the other list has, which ascends, too. Returns 0 or -ENOMEM. */
int runs_mark(struct run_list *list, const struct run_list *other);
/* Marks all as copied. */
void runs_mark_all(struct run_list *list);
/* Marks as not copied all that stands behind this place in the image, in bytes. */
int runs_mark_from(struct run_list *list, uint64_t offset);
/* Those that are copied are not in this image, but in that of a parent, if there is one. */
void runs_refer(struct run_list *list, bool parent);
/* How many bytes at the begin of their images are the same pages in both. */
uint64_t runs_common(const struct run_list *a, const struct run_list *b);
/* Counts the pages: all, those that the image holds, and those that a parent does. */
void runs_count(const struct run_list *list, struct task_stats *stats);
/* Bytes of the pages that both lists have, leaving out those of the first that are copied. */
uint64_t runs_overlap(const struct run_list *list, const struct run_list *other);
/* Bytes that the image holds, or of those only that are not copied yet. */
uint64_t runs_bytes(const struct run_list *list, bool all);

/* Takes out what comes late: with --lazy-pages it is in no image. */
void runs_drop_lazy(struct run_list *list);

#endif
