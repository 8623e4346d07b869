/*
 * The undo stack: each change to a target's state puts its undoing here when it is made. They are taken off
 * in reverse order, whatever the reason: one way out for success, failure and signals.
 */
#ifndef CKPT_UNDO_H
#define CKPT_UNDO_H

#include <stddef.h>

struct undo_step {
	void (*fn)(void *arg);
	void *arg;
};

struct undo {
	struct undo_step *steps;
	size_t n, room;
};

/*
 * Makes room for one more step, so that undo_push cannot fail after the change was made.
 * Returns 0 or -ENOMEM (logged).
 */
int undo_reserve(struct undo *u);
/* Remembers how to undo what was just done. undo_reserve must have been called for it. */
void undo_push(struct undo *u, void (*fn)(void *arg), void *arg);
/* Undoes everything that was pushed after the mark (a former value of u->n), last first. */
void undo_to(struct undo *u, size_t mark);
void undo_free(struct undo *u);

#endif
