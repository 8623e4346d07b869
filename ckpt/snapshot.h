/*
 * Snapshots: the memory of a task as it was when it stood still, to be copied while it runs on. A snapshot is a process
 * that the task forked without knowing: it runs nothing of the program, has no descriptors, is nobody's child in the
 * tree, and ends with us. What the task writes meanwhile costs it a copy of the page, and memory for that.
 */
#ifndef CKPT_SNAPSHOT_H
#define CKPT_SNAPSHOT_H

#include "dump.h"

struct snapshot {
	pid_t pid; /* 0: there is none */
	int mem; /* its /proc/PID/mem */
	struct parasite_snapshot *request; /* what was left out, of a task whose areas are unconfirmed; owned */
	uint64_t bytes; /* that the task may write meanwhile, at most */
};

/* Whether areas may be read before the tree stands: snapshots will confirm them. */
bool early_areas_wanted(const struct dump *d);
/* Whether memory may be copied from snapshots: the tree runs on, and no direct or asynchronous I/O forbids it. */
bool snapshots_possible(const struct dump *d);
/*
 * Makes a snapshot of a task that stands still with a parasite in it, if its areas are unconfirmed, or late is there,
 * and to copy what is left of these pages now would take longer. Returns 1 if it did: then those of the list that it
 * has count as copied, and late is the same list in which only they do not (runs are the caller's; NULL: nothing is
 * copied from it); 0 if not; -errno (logged) when the dump cannot go on. taken: bytes of other snapshots.
 */
int snapshot_make(struct dump_task *t, uint64_t taken, struct run_list *list, struct run_list *late,
		  struct snapshot *s);
/*
 * The areas of the task, which still stands, were others than was thought when it was made: if the program had just
 * kept one from its children, that was undone, and is done again. Returns 0 or -errno (logged).
 */
int snapshot_correct(struct dump_task *t, const struct snapshot *s);
/* Ends it. */
void snapshot_drop(struct snapshot *s);

#endif
