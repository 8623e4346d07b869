/* System V shared memory. */
#ifndef CKPT_RESTORE_SYSV_SHM_H
#define CKPT_RESTORE_SYSV_SHM_H

#include <stdint.h>

struct plan;
struct plan_area;
struct plan_task;
struct block;

/* In the plan: ipcns-shm-N.img. Returns 0 or -errno (logged). */
int sysv_read(struct plan *plan);
/* Finds the segment of an area, and checks both. Returns 0 or -ENOMEM; what is wrong is refused. */
int sysv_find(struct plan *plan, const struct plan_task *task, struct plan_area *area);
/* In the plan, when all areas are known: can the segments be had? */
void sysv_check(struct plan *plan);

/* In the coordinator, before it forks: makes and fills all segments. Returns 0 or -errno (logged). */
int sysv_make(struct plan *plan);
/* At the end: they stay, if that went well; or those that were made go again. */
void sysv_finish(struct plan *plan, int err);

/* Tells the blob what to attach where. Returns 0 or -ENOMEM. */
int sysv_fill(const struct plan_task *task, struct block *block);

#endif
