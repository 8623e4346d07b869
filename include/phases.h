/* What a dump or a restore did one after the other, and how long each took. */
#ifndef CKPT_PHASES_H
#define CKPT_PHASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PHASES 24

struct phase {
	const char *name;
	uint64_t us;
};

struct phases {
	uint64_t start, last; /* CLOCK_MONOTONIC, us: begin of the first one, end of the last one */
	struct phase list[PHASES];
	size_t n;
	bool failed;
};

/* Begins the first phase. */
void phases_begin(struct phases *p);
/*
 * Ends the phase that runs, says what it was and what came of it, and begins the next. After one that failed there are
 * no more; those that do not fit are left out.
 */
void phase_done(struct phases *p, const char *name, int err);

#endif
