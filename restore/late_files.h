/* Files that can only be opened when all tasks exist, so that nobody inherits them. */
#ifndef CKPT_RESTORE_LATE_FILES_H
#define CKPT_RESTORE_LATE_FILES_H

#include <stddef.h>

struct plan;
struct plan_file;
struct plan_task;

/* In the plan, when owners are known: the task needs the file, beside its owner. Returns 0 or -ENOMEM. */
int late_add_user(struct plan *plan, struct plan_file *file, const struct plan_task *task);
/* The same for all who hold one. */
int late_find_users(struct plan *plan);
/* How many temporary descriptors all of them take beside their own. */
size_t late_count_fds(const struct plan *plan);
/* In the owner, before it forks: makes the way by which it will pass the file. Returns 0 or -errno (logged). */
int late_prepare(struct plan *plan, struct plan_file *file);
/* In each task, when all exist: opens what it owns and passes it on, then takes what others pass. */
int late_open_files(struct plan *plan, struct plan_task *task);

#endif
