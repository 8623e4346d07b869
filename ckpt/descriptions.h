/* Open file descriptions that are known, and how to find one again behind another descriptor. */
#ifndef CKPT_DESCRIPTIONS_H
#define CKPT_DESCRIPTIONS_H

#include <stdbool.h>
#include <stddef.h>

struct dump_file;

/* A line of a comparison for tsearch(3) and qsort(3): returns, if both differ. */
#define LESS_MORE(a, b)                                                                                                \
	do {                                                                                                           \
		if ((a) != (b))                                                                                        \
			return (a) < (b) ? -1 : 1;                                                                     \
	} while (0)

/* Starts as zeros. */
struct descriptions {
	/*
	 * By their addresses in the kernel, as long as those of all are known (fd_seen.h): a hash table with open
	 * addressing, size a power of two, at most half of it in use.
	 */
	struct dump_file **table;
	size_t size, used;
	void *tree; /* of tsearch(3), in an order of which the kernel tells (kcmp(2)): from then on when one is not */
	bool ordered;
};

/* The one that the probe's descriptor leads to, or NULL with errno: 0 or ENOMEM. */
struct dump_file *descriptions_find(struct descriptions *all, const struct dump_file *probe);
/* Makes one known that is not yet. Returns 0 or -ENOMEM. */
int descriptions_add(struct descriptions *all, struct dump_file *f);
void descriptions_free(struct descriptions *all);

#endif
