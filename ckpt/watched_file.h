/* The files that inotify and fanotify watch: the kernel tells only their inodes and handles. */
#ifndef CKPT_WATCHED_FILE_H
#define CKPT_WATCHED_FILE_H

#include <stdbool.h>
#include <stdint.h>

struct dump;
struct fdinfo_inotify;

/* dev: as the kernel counts, major << 20 | minor. Whether the tree holds it, and it has no name any more. */
bool watched_file_is_ghost(const struct dump *d, uint32_t dev, uint64_t ino);
/* A path that leads to it: the caller's to free. NULL: not found, or not enough memory. */
char *watched_file_find(const struct dump *d, const struct fdinfo_inotify *w);

#endif
