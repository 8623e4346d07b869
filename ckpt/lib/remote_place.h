/* Places for the way home, between remote.c and remote_place.c. */
#ifndef CKPT_REMOTE_PLACE_H
#define CKPT_REMOTE_PLACE_H

#include "remote.h"

/*
 * A place for size bytes: below the red zone of the thread's stack, which may have to grow for it, or in a slot on the
 * main stack, which is noted in r. Returns 0 when there is none.
 */
uint64_t remote_find_place(struct remote *r, const struct remote_space *space, size_t size);
/* Writes the head of the slot. Returns 0 or -errno. */
int remote_mark_slot(const struct remote *r);
/* The next dump finds the slot as this one did: full of zeros. */
void remote_clear_slot(const struct remote *r);

#endif
