/*
 * The keeper of a lazy restore: a process that shares the descriptors of the daemon that serves pages, and outlives it.
 *
 * When the last descriptor of a userfaultfd is closed, the kernel gives zeros for all pages that have not come: the
 * program would go on with wrong memory. So when the daemon dies with pages missing, the keeper kills the tasks, and
 * holds the descriptors until the last of them is gone. Whoever forked from them and needs a missing page waits, and is
 * killed when it is known who that is.
 */
#ifndef CKPT_LAZY_KEEP_H
#define CKPT_LAZY_KEEP_H

#include <stdint.h>
#include <sys/types.h>

#define KEEP_MAX 65536 /* processes at a time */

/* What both share. */
struct keep {
	struct {
		int uffd, pidfd; /* + 1; 0: none. The latter stays, to kill a tree as a whole */
	} slot[KEEP_MAX];
};

/* Makes the shared state. Returns NULL (logged) without memory. */
struct keep *keep_create(void);
/* Starts a keeper for this process. Returns its pid or -errno (logged). */
pid_t keep_start(struct keep *keep);
/*
 * Notes a process. uffd -1: all its pages are there; pidfd -1: it is not known which. Returns its slot or -ENOSPC
 * (logged).
 */
int keep_add(struct keep *keep, int uffd, int pidfd);
/* All its pages have come, or it is gone. Its pidfd stays the keeper's. */
void keep_remove(struct keep *keep, int slot);

#endif
