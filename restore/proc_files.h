/* Files of /proc/PID. */
#ifndef CKPT_RESTORE_PROC_FILES_H
#define CKPT_RESTORE_PROC_FILES_H

struct plan;
struct plan_file;
struct plan_task;

/* The task of the tree that the path belongs to; NULL: it is no such path. */
const struct plan_task *proc_task(const struct plan *plan, const char *path);
/* In the plan, when the owner is known: sets file->late of a REG file. */
void proc_find_late(struct plan *plan, struct plan_file *file);

#endif
