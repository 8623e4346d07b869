/* Memory that is shared by fork (copy on write): loaded before the fork. */
#ifndef CKPT_RESTORE_COW_H
#define CKPT_RESTORE_COW_H

#include <stddef.h>

struct plan;
struct plan_task;
struct restorer_range;

/*
 * In a task, before it forks: takes over what its forker loaded, and maps and loads what its children will share.
 * Sets at in these areas. Returns 0 or -errno (logged).
 */
int cow_load(struct plan *plan, struct plan_task *task);
/* Fills in where areas lie that are loaded already, ascending: at most task->n_areas. Returns how many. */
size_t cow_kept(const struct plan_task *task, struct restorer_range *kept);

#endif
