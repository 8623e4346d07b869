/* Sets of ranges that have not come yet: an array, in which most removals are at an end of a piece. */
#include "lazy_mm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

static int make_room(struct lazy_set *set)
{
	if (set->n < set->room)
		return 0;
	size_t room = set->room ? 2 * set->room : 16;
	struct lazy_piece *grown = realloc(set->pieces, room * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	set->pieces = grown;
	set->room = room;
	return 0;
}

/* The first piece that ends above at; empty ones keep their place. */
static size_t find(const struct lazy_set *set, uint64_t at)
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (set->pieces[middle].end <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_empty(const struct lazy_piece *p)
{
	return p->start == p->end;
}

/* The part of a piece that begins at. */
static struct lazy_piece tail(const struct lazy_piece *p, uint64_t at)
{
	struct lazy_piece t = *p;

	t.image += at - p->start;
	t.offset += at - p->start;
	t.start = at;
	return t;
}

int lazy_set_add(struct lazy_set *set, const struct lazy_piece *piece)
{
	int err = make_room(set);

	if (err)
		return err;
	set->pieces[set->n++] = *piece;
	set->bytes += piece->end - piece->start;
	return 0;
}

bool lazy_set_find(const struct lazy_set *set, uint64_t from, uint64_t to, struct lazy_piece *piece)
{
	for (size_t i = find(set, from); from < to && i < set->n && set->pieces[i].start < to; i++) {
		const struct lazy_piece *p = &set->pieces[i];

		if (is_empty(p))
			continue;
		*piece = from > p->start ? tail(p, from) : *p;
		if (piece->end > to)
			piece->end = to;
		return true;
	}
	return false;
}

int lazy_set_remove(struct lazy_set *set, uint64_t from, uint64_t to)
{
	for (size_t i = find(set, from); i < set->n && set->pieces[i].start < to; i++) {
		struct lazy_piece *p = &set->pieces[i];

		if (is_empty(p))
			continue;
		uint64_t start = from > p->start ? from : p->start, end = to < p->end ? to : p->end;

		if (start > p->start && end < p->end) { /* in the middle: two are left */
			int err = make_room(set);

			if (err)
				return err;
			p = &set->pieces[i];
			memmove(p + 1, p, (set->n++ - i) * sizeof(*p));
			p[1] = tail(p, end);
			p->end = start;
		} else if (start > p->start) {
			p->end = start;
		} else {
			*p = tail(p, end);
		}
		set->bytes -= end - start;
	}
	return 0;
}

static int compare(const void *a, const void *b)
{
	const struct lazy_piece *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Takes out all between from and to and adds it to the other set. */
static int take(struct lazy_set *set, uint64_t from, uint64_t to, struct lazy_set *other)
{
	struct lazy_piece p;
	int err = 0;

	for (uint64_t at = from; !err && lazy_set_find(set, at, to, &p); at = p.end)
		err = lazy_set_add(other, &p);
	return err ? err : lazy_set_remove(set, from, to);
}

/* Empty pieces would not stay in order. */
static void drop_empty(struct lazy_set *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n; i++)
		if (!is_empty(&set->pieces[i]))
			set->pieces[kept++] = set->pieces[i];
	set->n = kept;
}

static void sort(struct lazy_set *set)
{
	drop_empty(set);
	if (set->n)
		qsort(set->pieces, set->n, sizeof(*set->pieces), compare);
}

int lazy_set_put_back(struct lazy_set *set, const struct lazy_piece *piece, uint64_t from)
{
	const struct lazy_piece rest = tail(piece, from);
	int err = lazy_set_add(set, &rest);

	sort(set);
	return err;
}

int lazy_set_move(struct lazy_set *set, uint64_t from, uint64_t to, uint64_t len)
{
	struct lazy_set moved = {};
	int err = take(set, from, from + len, &moved);

	if (!err)
		err = lazy_set_remove(set, to, to + len);
	for (size_t i = 0; !err && i < moved.n; i++) {
		moved.pieces[i].start += to - from;
		moved.pieces[i].end += to - from;
		err = lazy_set_add(set, &moved.pieces[i]);
	}
	lazy_set_free(&moved);
	sort(set);
	return err;
}

int lazy_set_copy(const struct lazy_set *set, struct lazy_set *copy)
{
	struct lazy_piece p;
	int err = 0;

	for (uint64_t at = 0; !err && lazy_set_find(set, at, UINT64_MAX, &p); at = p.end)
		err = lazy_set_add(copy, &p);
	return err;
}

void lazy_set_free(struct lazy_set *set)
{
	free(take_ptr(set->pieces));
	*set = (struct lazy_set){};
}
