/*
 * How far a dump or restore has come, for who waits longer than half a second: a line on the terminal that is written
 * again and again, or JSON, an object a line (--progress). It never waits for who reads: what does not fit is left out,
 * for the tree may stand still meanwhile.
 */
#ifndef CKPT_PROGRESS_H
#define CKPT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct opts;

/* Zeroed: nothing is shown. */
struct progress {
	bool on, json, terminal;
	const char *action;
	const char *phase; /* "live copy"; NULL: nothing has begun */
	unsigned int round; /* 0: the phase has none */
	uint64_t done, total; /* bytes of the phase */
	uint64_t start, phase_start, next; /* us, CLOCK_MONOTONIC; when it is shown again */
	bool line; /* one stands on the terminal */
};

/* Finds out whether anything is to be shown. */
void progress_begin(struct progress *p, const struct opts *opts);
/* A phase begins, of which nothing is known yet. */
void progress_phase(struct progress *p, const char *phase, unsigned int round);
/* So many bytes more are to be done; are done (by any thread); are done in all. */
void progress_more(struct progress *p, uint64_t bytes);
void progress_add(struct progress *p, uint64_t bytes);
void progress_set(struct progress *p, uint64_t bytes);
/* Shows it if it is time to. To be called often, by one thread. */
void progress_look(struct progress *p);
/* Takes the line away; JSON gets a last object. */
void progress_end(struct progress *p, int err);

#endif
