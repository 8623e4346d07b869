/* The undo stack. */
#include "undo.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "log.h"

int undo_reserve(struct undo *u)
{
	if (u->n < u->room)
		return 0;
	size_t room = u->room ? u->room * 2 : 16;
	struct undo_step *steps = realloc(u->steps, room * sizeof(*steps));

	if (!steps)
		return log_errno(ENOMEM, "undo stack");
	u->steps = steps;
	u->room = room;
	return 0;
}

void undo_push(struct undo *u, void (*fn)(void *arg), void *arg)
{
	u->steps[u->n++] = (struct undo_step){ fn, arg };
}

void undo_to(struct undo *u, size_t mark)
{
	while (u->n > mark) {
		struct undo_step step = u->steps[--u->n];

		step.fn(step.arg);
	}
}

void undo_free(struct undo *u)
{
	undo_to(u, 0);
	free(take_ptr(u->steps));
	u->room = 0;
}
