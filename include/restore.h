/* The restorer, as the command line sees it. */
#ifndef CKPT_RESTORE_H
#define CKPT_RESTORE_H

#include <sys/types.h>

struct opts;

/*
 * Restores the tree of opts->images_dir. On success its root runs (or is stopped, with leave_stopped), is a
 * child of this process unless restore_sibling is set, and *root has its pid. On failure nothing is left.
 * Returns 0 or -errno (logged).
 */
int restore_tree(const struct opts *opts, pid_t *root);

#endif
