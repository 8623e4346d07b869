/*
 * The live copy: most pages go into the image while the tree runs. The tree is stopped for a moment to begin the
 * tracking of large tasks; what they write from then on is copied again, in rounds, as long as these get shorter. The
 * rest is copied when the tree is stopped for the dump. The images are what a plain dump would have written then.
 */
#ifndef CKPT_PRECOPY_H
#define CKPT_PRECOPY_H

#include "dump.h"
#include "huge_pages.h"
#include "track.h"

/* The page image of a task, as far as it is copied. */
struct draft {
	struct tracker tracker;
	uint32_t pages_id;
	int out; /* pages-N.img */
	bool used; /* the task was still there in the end */
	struct run_list layout; /* the pages that it holds, in their order */
	struct run_list missed; /* those that could not be read in the last round */
	struct huge_pages huge;
	uint64_t again; /* bytes that the task wrote after they were copied */
};

/*
 * Copies the memory of a tree that is worth it while it runs. When that cannot be done, nothing has happened. Returns
 * 0, or -errno (logged) when the dump cannot go on.
 */
int precopy(struct dump *d);
/* Whether the userfaultfd of the area is ours. */
bool precopy_tracks(const struct dump_task *t, const struct vma *v);
/* The draft for the task, or NULL. */
struct draft *precopy_draft(const struct dump *d, const struct dump_task *t);
/*
 * The task stands still, and its image is to hold these pages: marks those as not copied that the draft has not, or
 * elsewhere. Returns 0 with the file, which is the caller's then, or -errno (logged).
 */
int draft_finish(const struct dump *d, struct draft *draft, struct run_list *list, int *out);
/*
 * Whether the kernel may write to pages of the tree without a fault that would tell: into buffers of direct and
 * asynchronous I/O, which it holds on to.
 */
bool has_held_buffers(const struct dump *d);
/* The trackers become the chain's. Returns 0 or -ENOMEM (logged). */
int precopy_give_trackers(struct dump *d);
/* Removes the drafts of tasks that ended meanwhile. */
void precopy_drop_unused(struct dump *d);
/* Ends all tracking, which leaves no trace. The tree runs on already, or is dead. */
void precopy_free(struct dump *d);

#endif
