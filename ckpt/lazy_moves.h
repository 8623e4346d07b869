/*
 * The order of events. The kernel tells of mremap(2) and munmap(2) when they are done, and threads that do so at the
 * same time may be told of in the wrong order: one moves memory away, another one moves something else to that place,
 * and the latter is heard first. As long as events are on their way no page can be put in place, so that nothing is
 * done by what is believed meanwhile.
 */
#ifndef CKPT_LAZY_MOVES_H
#define CKPT_LAZY_MOVES_H

#include <stdbool.h>

#include "lazy_mm.h"

struct lazy_move {
	uint64_t from, to, len;
	bool waits; /* its place is in use still: it is believed when that has been moved or unmapped */
	bool unmaps; /* the event that it leaves its old place is to come, too: it tells nothing new */
};

struct lazy_moves {
	struct lazy_set used; /* where there were pages in the beginning, whether they have come or not */
	struct lazy_move *list; /* of which more is to be heard */
	size_t n, room;
};

/* Begins with the pages of a set. Returns 0 or -ENOMEM, as all others do. */
int lazy_moves_begin(struct lazy_moves *m, const struct lazy_set *set);
/* Events: they change the set, now or when others have come. */
int lazy_moves_add(struct lazy_moves *m, struct lazy_set *set, uint64_t from, uint64_t to, uint64_t len);
int lazy_moves_unmap(struct lazy_moves *m, struct lazy_set *set, uint64_t start, uint64_t end);
/* Whether one of them waits: what is in the set may not be where it says. */
bool lazy_moves_wait(const struct lazy_moves *m);
/* No event is on its way: nothing that was expected will come. */
int lazy_moves_settle(struct lazy_moves *m, struct lazy_set *set);
void lazy_moves_free(struct lazy_moves *m);

#endif
