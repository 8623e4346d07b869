/* The restorer, as the command line sees it. */
#ifndef CKPT_RESTORE_H
#define CKPT_RESTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct opts;

/* Who tracks what the restored tree writes from its first instruction on. */
struct restore_track {
	void *arg;
	/*
	 * A task stands still, with all of its memory: uffd is a userfaultfd of it that nobody has used, and becomes
	 * the callee's. Returns 0, or -errno (logged): it is not tracked.
	 */
	int (*task)(void *arg, pid_t pid, int uffd);
	/* Pages of that task, which are as the images have them. Returns 0, or -errno (logged) to end its tracking. */
	int (*pages)(void *arg, uint64_t start, uint64_t end);
	char images[37]; /* the id of these images, a UUID as text; "": they have none. Set when the tree runs. */
};

/*
 * Restores the tree of opts->images_dir. On success its root runs (or is stopped, with leave_stopped), is a
 * child of this process unless restore_sibling is set, and *root has its pid. On failure nothing is left.
 * track: NULL, or who tracks it. Returns 0 or -errno (logged).
 */
int restore_tree(const struct opts *opts, struct restore_track *track, pid_t *root);

/*
 * Reads the set of images that opts->action == ACTION_VERIFY is about, as a restore does before it makes anything, but
 * for what depends on this machine: files, numbers of processes, the CPU, privileges. Returns 0 or -errno (all that is
 * wrong is logged).
 */
int restore_verify(const struct opts *opts);

/* A task as far as forking it goes. */
struct restore_shape {
	pid_t pid, pgid, sid;
	size_t parent; /* index of it, lower than its own; of the first: any */
	bool dead;
	pid_t files, fs; /* numbers of the first task with the same table of descriptors, the same directories */
};

/*
 * Whether a tree could be forked with these sessions and groups: calls say() for each reason why not. For a dump, which
 * must not end a tree that nobody can restore. Returns 0 or -errno (logged).
 */
int restore_judge_tree(const struct opts *opts, const struct restore_shape *tasks, size_t n,
		       void (*say)(void *arg, const char *reason), void *arg);

#endif
