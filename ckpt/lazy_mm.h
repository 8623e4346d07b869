/*
 * The memory of a process whose pages come late: which of them have not come yet, and where they belong now. A range
 * leaves the set when its pages are in place, or when the process does not want them any more.
 */
#ifndef CKPT_LAZY_MM_H
#define CKPT_LAZY_MM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAZY_REMOTE UINT32_MAX

struct lazy_piece {
	uint64_t start, end; /* where it belongs */
	uint64_t image; /* what was its address at the dump */
	uint32_t file; /* the page image, LAZY_REMOTE: a page server has it */
	uint64_t offset; /* in it */
};

/* Ascending, apart from each other. Those that are empty (start == end) count for nothing. */
struct lazy_set {
	struct lazy_piece *pieces;
	size_t n, room;
	uint64_t bytes;
};

/* Adds a piece behind all others. Returns 0 or -ENOMEM. */
int lazy_set_add(struct lazy_set *set, const struct lazy_piece *piece);
/* Finds what is left between from and to, first of all: the first of it, cut to that. Returns whether there is any. */
bool lazy_set_find(const struct lazy_set *set, uint64_t from, uint64_t to, struct lazy_piece *piece);
/* Takes out all between from and to. Returns 0 or -ENOMEM. */
int lazy_set_remove(struct lazy_set *set, uint64_t from, uint64_t to);
/* Puts back what was taken out of a piece from an address on. Returns 0 or -ENOMEM. */
int lazy_set_put_back(struct lazy_set *set, const struct lazy_piece *piece, uint64_t from);
/* What was at from, len bytes, belongs to the address to now; what was there before is gone. Returns 0 or -ENOMEM. */
int lazy_set_move(struct lazy_set *set, uint64_t from, uint64_t to, uint64_t len);
/* Makes copy, which must be empty, the same. Returns 0 or -ENOMEM. */
int lazy_set_copy(const struct lazy_set *set, struct lazy_set *copy);
void lazy_set_free(struct lazy_set *set);

#endif
