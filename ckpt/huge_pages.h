/*
 * Huge pages of tasks whose memory is tracked and copied while they run: a write to one of them splits it, and so would
 * have been for nothing what it cost to make it. What was split meanwhile is made whole again.
 */
#ifndef CKPT_HUGE_PAGES_H
#define CKPT_HUGE_PAGES_H

#include "dump.h"

/* What a task has before it is tracked. */
struct huge_pages {
	int pidfd, pagemap; /* -1: nothing is known */
	pid_t pid;
	struct run_list before;
};

/* Finds them. proc is the descriptor of /proc/PID. Where that cannot be done, there are none. */
void huge_pages_find(struct huge_pages *h, pid_t pid, int proc);
/*
 * Makes those whole again of which all is still there, and frees what is known. The task runs, is not tracked any more,
 * and has no snapshot. Returns how many.
 */
size_t huge_pages_restore(struct huge_pages *h);
void huge_pages_forget(struct huge_pages *h);

#endif
