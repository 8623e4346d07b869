/*
 * Duplicates in incremental images: pages of parents that no restore of the newest set needs are cut out of their page
 * images (FALLOC_FL_PUNCH_HOLE). What is left of a parent reads as zeros there, so a parent that lost pages gets a
 * mark, and is refused by itself: only sets that build on it can be restored.
 */
#ifndef CKPT_DEDUP_H
#define CKPT_DEDUP_H

#include "image.h"

/*
 * Cuts out of all parents of a complete set what the set has itself. For dumps with --auto-dedup: after the commit.
 * *bytes gets how much was cut out. Returns 0 or -errno (logged); what was done until then is right, and may be done
 * again.
 */
int dedup_parents(const struct image_dir *dir, uint64_t *bytes);

/* Puts the mark on a directory before anything is cut out of it. Returns 0 or -errno (logged). */
int dedup_mark(const struct image_dir *dir);
/* Whether a directory has the mark. */
bool dedup_is_marked(const struct image_dir *dir);
/* Cuts len bytes at offset out of a page image; name: for messages. Returns 0 or -errno (logged). */
int dedup_punch(int fd, uint64_t offset, uint64_t len, const char *name);

#endif
