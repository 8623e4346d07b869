/*
 * The directory of the path that was used last. Many files lie beside their neighbours: by their names in there the
 * kernel finds them sooner than by whole paths.
 */
#ifndef CKPT_RESTORE_NEAR_DIR_H
#define CKPT_RESTORE_NEAR_DIR_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

/* Starts as zeros. */
struct near_dir {
	bool open;
	int fd; /* then */
	size_t len; /* of the path, with its last slash; 0: there was none */
	char path[PATH_MAX];
};

/*
 * Where the path counts from: a directory, then *name is the name in it; or AT_FDCWD, then it is the path. A directory
 * is opened when it comes a second time in a row, at a number from low to high.
 */
int near_dir_find(struct near_dir *dir, const char *path, int low, int high, const char **name);
void near_dir_close(struct near_dir *dir);

#endif
