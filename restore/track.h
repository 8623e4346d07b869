/* Writes of the restored tree are tracked from its first instruction on: restore --track-mem. */
#ifndef CKPT_RESTORE_TRACK_H
#define CKPT_RESTORE_TRACK_H

struct plan;

/*
 * The tree stands still and nothing can fail any more: gives the userfaultfds of plan->uffds, and which pages are as in
 * the images, to plan->track.
 */
void track_tree(struct plan *plan);

#endif
