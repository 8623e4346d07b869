/* Moves of memory, in the order in which they can have happened. */
#include "lazy_moves.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"

int lazy_moves_begin(struct lazy_moves *m, const struct lazy_set *set)
{
	*m = (struct lazy_moves){};
	return lazy_set_copy(set, &m->used);
}

static int apply(struct lazy_moves *m, struct lazy_set *set, struct lazy_move *move)
{
	int err = lazy_set_move(set, move->from, move->to, move->len);

	move->waits = false;
	return err ? err : lazy_set_move(&m->used, move->from, move->to, move->len);
}

static bool is_free(const struct lazy_moves *m, const struct lazy_move *move)
{
	struct lazy_piece piece;

	return !lazy_set_find(&m->used, move->to, move->to + move->len, &piece);
}

/* Of those that are left, more is to be heard. */
static void drop_done(struct lazy_moves *m)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->n; i++)
		if (m->list[i].waits || m->list[i].unmaps)
			m->list[kept++] = m->list[i];
	m->n = kept;
}

/* Each that is believed may make room for another one. */
static int believe(struct lazy_moves *m, struct lazy_set *set)
{
	int err = 0;

	for (size_t i = 0; i < m->n && !err; i++) {
		if (!m->list[i].waits || !is_free(m, &m->list[i]))
			continue;
		err = apply(m, set, &m->list[i]);
		i = -1;
	}
	drop_done(m);
	return err;
}

int lazy_moves_add(struct lazy_moves *m, struct lazy_set *set, uint64_t from, uint64_t to, uint64_t len)
{
	if (m->n == m->room) {
		size_t room = m->room ? 2 * m->room : 16;
		struct lazy_move *grown = realloc(m->list, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		m->list = grown;
		m->room = room;
	}
	m->list[m->n++] = (struct lazy_move){ from, to, len, true, true };
	return believe(m, set);
}

int lazy_moves_unmap(struct lazy_moves *m, struct lazy_set *set, uint64_t start, uint64_t end)
{
	for (size_t i = 0; i < m->n; i++) {
		struct lazy_move *move = &m->list[i];

		if (move->unmaps && move->from == start && move->from + move->len == end) {
			move->unmaps = false;
			drop_done(m);
			return 0;
		}
	}
	int err = lazy_set_remove(set, start, end);
	if (!err)
		err = lazy_set_remove(&m->used, start, end);
	return err ? err : believe(m, set);
}

bool lazy_moves_wait(const struct lazy_moves *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->list[i].waits)
			return true;
	return false;
}

int lazy_moves_settle(struct lazy_moves *m, struct lazy_set *set)
{
	int err = 0;

	for (size_t i = 0; i < m->n && !err; i++)
		if (m->list[i].waits)
			err = apply(m, set, &m->list[i]);
	m->n = 0;
	return err;
}

void lazy_moves_free(struct lazy_moves *m)
{
	lazy_set_free(&m->used);
	free(take_ptr(m->list));
	*m = (struct lazy_moves){};
}
