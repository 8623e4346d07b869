/*
 * Which threads a task has, and which children: from /proc, or where there are many, from a BPF iterator, which makes
 * no inode for each and knows all children at once.
 */
#ifndef CKPT_TREE_LOOK_H
#define CKPT_TREE_LOOK_H

#include "dump.h"

/*
 * The threads of a task, ascending; those of the kernel's own are left out where that is known without asking for each
 * (then *workers is false). The caller frees *tids. Returns 0 or -errno (logged unless -ESRCH).
 */
int tree_threads(struct dump_task *t, int **tids, size_t *n, bool *workers);

/* Who is whose child, at one moment. */
struct families {
	struct family {
		pid_t parent, child;
	} * list; /* ascending by parent, then by child; owned */
	size_t n;
	unsigned int level; /* of our PID namespace */
	bool known; /* false: /proc is to be asked */
};

/* Whether it is worth it for so many tasks to learn all families of the system. */
bool families_wanted(struct dump *d, size_t tasks);
/* Learns them, if it can. Tasks whose children are wanted stand still already. Returns 0 or -ENOMEM (logged). */
int families_look(struct dump *d, struct families *f);
void families_free(struct families *f);

/*
 * The children of a task, where they come from families in their order, else as /proc has it. The caller frees *pids.
 * Returns 0 or -errno (logged unless -ESRCH).
 */
int tree_children(struct dump_task *t, const struct families *f, int **pids, size_t *n);

#endif
