/*
 * Whether paths of files lead to them, with one look for all that have their names in one directory. Only where names
 * are entries of directories and nothing else: file systems whose names somebody else changes do not count.
 */
#ifndef CKPT_KNOWN_DIRS_H
#define CKPT_KNOWN_DIRS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct known_dirs;

/* NULL without memory. */
struct known_dirs *known_dirs_new(void);
void known_dirs_free(struct known_dirs *dirs); /* NULL: nothing */
/*
 * path: of a file that has a name in the directory with the inode dir on dev, the last part of the path. True: the
 * path leads to it. False: it may still.
 */
bool known_dirs_lead(struct known_dirs *dirs, const char *path, dev_t dev, uint64_t dir);

#endif
