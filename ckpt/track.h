/*
 * Which pages a task writes while it runs: a userfaultfd of its own in our hands, with asynchronous write-protection
 * (Linux 6.7), which costs the task 0.7 us at the first write to each page and never makes it wait for us. When we die,
 * the kernel takes all of it back.
 *
 * Where the kernel does not have that, the soft-dirty bits of its page tables tell the same. They cannot be read and
 * cleared at once, so that is done while the task stands still, or before the first page is copied. Each task has one
 * set of them, for all who track it.
 */
#ifndef CKPT_TRACK_H
#define CKPT_TRACK_H

#include <stdbool.h>

#include "dump.h"
#include "early_areas.h"

struct tracker {
	pid_t pid;
	uint64_t start_time; /* of the process: pids are used again */
	int proc, mem, pagemap; /* /proc/PID, its mem and pagemap */
	int uffd; /* or, with soft-dirty bits, a pidfd: something to hold on to */
	struct run_list areas; /* what was registered; some of it may be gone */
	struct vma_list vmas; /* as they were in the last round */
	struct early_areas early; /* with flags, of a large task */
	bool unseen; /* there was direct or asynchronous I/O, by which the kernel writes where nobody is told */
};

/* Whether this kernel can do it. */
bool tracking_possible(void);
/* Whether it does it with soft-dirty bits. */
bool tracking_by_soft_dirty(void);
/* Whether the parasite may enter the task, which stands still, although nobody has judged it. */
bool task_may_be_tracked(const struct dump_task *t);
/* Whether an area is of the kind and size that is tracked. */
bool tracking_is_worth_it(const struct vma *v);
/* Makes a tracker of the task, which stands still with a parasite in it. Returns 0 or -errno (logged as information).
 */
int tracker_open(struct tracker *tr, struct dump_task *t);
/* The same for a userfaultfd that was made before, which becomes its own. */
int tracker_take(struct tracker *tr, pid_t pid, uint64_t start_time, int uffd);
/* The same for one that nobody has used yet; it is closed when that fails. */
int tracker_make(struct tracker *tr, pid_t pid, uint64_t start_time, int uffd);
/* Looks at its areas and tracks those that are new and worth it. Returns 0, -ESRCH or another -errno (logged). */
int tracker_look(struct tracker *tr);
/*
 * Has the kernel track from now on, and adds what was written since the last time. A page that is read after that and
 * not found written later is what was read. With soft-dirty bits nothing is added: whoever wants to know has looked
 * with pages_find() before, while the task stood still. Returns 0 or -errno (not logged).
 *
 * I/O that has begun before that writes into pages unseen. It ends before its file is closed, so files that are open
 * now tell whether there can be any.
 */
int tracker_arm(struct tracker *tr, struct run_list *written);
/* The same for all in these areas and nowhere else, but with soft-dirty bits, which are there for all memory only. */
int tracker_arm_areas(struct tracker *tr, const struct vma_list *vmas);
/* Whether there can be I/O that writes unseen, as tracker_look() and its open files tell. */
bool tracker_has_io(const struct tracker *tr);
/* Whether the area has a userfaultfd, and it is this one. */
bool tracker_has(const struct tracker *tr, const struct vma *v);
/*
 * Ends the tracking without making the task wait for long. gone: the task does not exist any more.
 */
void tracker_close(struct tracker *tr, bool gone);

#endif
