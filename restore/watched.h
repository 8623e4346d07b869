/* What inotify and fanotify watched. */
#ifndef CKPT_RESTORE_WATCHED_H
#define CKPT_RESTORE_WATCHED_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "fh.pb-c.h"

struct plan;
struct plan_file;

/*
 * A path that leads to it now; dev is as the kernel counts: major << 20 | minor. *fd, -1 before, keeps it, if it is
 * one. Returns 0 or -errno (not logged).
 */
int watched_path(const struct plan *plan, uint32_t dev, uint64_t ino, const FhEntry *fh, char path[PATH_MAX], int *fd);
/* Whether it is a symbolic link that is watched itself. */
bool watched_is_link(const char *path);
/* Our own descriptor of an inotify or fanotify that is restored; *fd is -1 when nobody has it. Returns 0 or -errno
 * (logged). */
int watched_get_fd(const struct plan *plan, const struct plan_file *file, int *fd);

#endif
