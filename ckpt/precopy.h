/*
 * The live copy: most pages go into the image while the tree runs.
 */
#ifndef CKPT_PRECOPY_H
#define CKPT_PRECOPY_H

#include "dump.h"

/* The page image of a task that is still running, as far as it is copied. */
struct draft {
	uint32_t pages_id;
};

/* The draft for the task, or NULL. */
struct draft *precopy_draft(const struct dump *d, const struct dump_task *t);
/*
 * The task stands still, and its image is to hold these pages: marks those as not copied that the draft has not, or
 * elsewhere. Returns 0 with the file, which is the caller's then, or -errno (logged).
 */
int draft_finish(struct draft *draft, struct run_list *list, int *out);

#endif
