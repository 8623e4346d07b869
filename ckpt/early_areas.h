/*
 * Areas whose flags were read before the tree stood still. Only smaps shows them (madvise, mlock and the like), and it
 * looks at each page: 10 ms a GiB. When a task stands, maps tells that its areas are still the same, and a snapshot of
 * it, which has the flags but few pages, confirms these.
 */
#ifndef CKPT_EARLY_AREAS_H
#define CKPT_EARLY_AREAS_H

#include <stdbool.h>

#include "proc.h"

struct dump;

struct early_areas {
	struct vma_list list; /* with flags; empty: not known */
	uint64_t locked; /* KiB of mlock(2) in all */
};

/*
 * Reads them (areas.h), of a task that runs. proc is the descriptor of /proc/PID. What a snapshot could not confirm is
 * dropped. d may be NULL.
 */
void early_areas_read(struct early_areas *e, struct dump *d, int proc, pid_t pid);
/* The task stands still: whether its areas are the same as far as that can be seen. Then they are the caller's. */
bool early_areas_recall(struct early_areas *e, int proc, struct vma_list *list);
/* Whether a snapshot, or the task while it stands still, has the same flags. Returns 0, -EAGAIN (not logged), -ESRCH
 * (not logged) when it is dead, or another -errno (logged). */
int early_areas_confirm(const struct vma_list *list, struct dump *d, int proc, pid_t pid);
/* Takes over the flags that the areas of the task have, which stands still. Returns 0 or -errno (logged). */
int early_areas_correct(struct vma_list *list, struct dump *d, int proc, pid_t pid);
void early_areas_free(struct early_areas *e);

#endif
