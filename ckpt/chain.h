/*
 * Incremental images: which pages were written since the last set of a chain. The trackers live on from one call to the
 * next in a keeper, a small process of ours that ends with the tree.
 */
#ifndef CKPT_CHAIN_H
#define CKPT_CHAIN_H

#include "dump.h"
#include "track.h"

#define RUN_ID 37 /* bytes: a UUID as text */

struct chain {
	struct tracker *trackers;
	size_t n, room;
	char last[RUN_ID]; /* the image set since which writes are tracked (dump_criu_run_id); "": none */
	bool usable; /* that set is --prev-images-dir: what was not written since stands there */
};

/* A UUID for this run. */
void chain_new_id(char id[RUN_ID]);
/*
 * Fetches the trackers of the tree from its keeper, if there is one, and looks whether they fit --prev-images-dir.
 * Returns 0 or -errno (logged).
 */
int chain_begin(struct dump *d);
/* Whether the userfaultfd of the area is ours. */
bool chain_tracks(const struct dump_task *t, const struct vma *v);
/* Makes trackers for all tasks that have none; they stand still with parasites in them. Returns 0 or -errno (logged).
 */
int chain_track(struct dump *d);
/* The tracker of the task, or NULL. */
struct tracker *chain_tracker(const struct dump *d, const struct dump_task *t);
/* Arms all memory of tasks that stand still, so that the next set knows what was written since this one. */
int chain_arm(struct dump *d);
/* After that: warns and forgets the chain when what was armed may be written unseen, so that the next set is whole. */
void chain_check(struct chain *chain);
/* Adds a tracker, which becomes the chain's; when that fails it is closed. Returns 0 or -ENOMEM (logged). */
int chain_add(struct chain *chain, struct tracker tracker);
/* The tree runs again or is dead: a keeper goes on tracking, if there is something to refer to. */
void chain_end(struct dump *d);
/* Makes the link "parent" to --prev-images-dir among the images. Returns 0 or -errno (logged). */
int chain_link(struct dump *d);
/* The same in the directory itself, before a page server in the same directory looks for it; takes it away again. */
int chain_link_early(struct dump *d);
void chain_unlink(struct dump *d);

/* keeper.c. Fetches what the keeper of a tree holds; it ends then. Returns 0 with no trackers when there is none. */
int keeper_take(pid_t root, struct chain *chain);
/* Starts a process that holds the trackers of a tree until somebody takes them or all tasks are dead. */
int keeper_start(pid_t root, const struct chain *chain);

#endif
