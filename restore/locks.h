/* File locks: filelocks.img. */
#ifndef CKPT_RESTORE_LOCKS_H
#define CKPT_RESTORE_LOCKS_H

#include <stdbool.h>
#include <stddef.h>

struct block;
struct plan;
struct plan_task;

/* In the plan, when all descriptors are known. Returns 0 or -errno (logged). */
int plan_read_locks(struct plan *plan);
/* Whether all files must be open before any task goes on to its memory: another's open(2) would break a lease. */
bool locks_wait(const struct plan *plan);
/* In the task, with all its descriptors: takes what belongs to open files. Returns 0 or -errno (logged). */
int locks_take(const struct plan *plan, const struct plan_task *task);
/* Tells the blob those that belong to the task: they would be lost when a temporary descriptor is closed. */
int locks_fill(const struct plan *plan, const struct plan_task *task, struct block *block);
/* Bytes that takes in the block. */
size_t locks_room(const struct plan *plan, const struct plan_task *task);

#endif
