/* Descriptors of whoever started ckpt restore that take the place of files of the images (--inherit-fd). */
#ifndef CKPT_RESTORE_OUTSIDE_H
#define CKPT_RESTORE_OUTSIDE_H

#include <sys/types.h>

struct plan;
struct plan_file;

/* Makes a descriptor of ours known to the tasks. Returns its index in plan->inherited_fds, or -ENOMEM. */
int outside_add(struct plan *plan, int fd);
/*
 * Looks whether a file is given from outside: file->outside. types: S_IFIFO, S_IFSOCK, which it must be; 0: any.
 * Returns 0 or -ENOMEM.
 */
int outside_find(struct plan *plan, struct plan_file *file, const char *key, mode_t type);
/* In a task: one more descriptor of the description that was given, at a temporary number. Returns it or -errno
 * (logged). */
int outside_take(struct plan *plan, const struct plan_file *file);

#endif
