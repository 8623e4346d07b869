/* Sets of pages that have not come yet: each page stays what it was, wherever it moves, until it is taken out. */
#include "../../ckpt/lazy_mm.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "suite.h"

#define PAGES 256
#define PAGE 4096ul

/* The same as an array: for each page, the address that it had in the images, or 0. */
static uint64_t model[PAGES];
static struct lazy_set set;

static void add(uint64_t from, uint64_t to, uint64_t image)
{
	const struct lazy_piece p = { .start = from * PAGE,
				      .end = to * PAGE,
				      .image = image * PAGE,
				      .file = image / 1000,
				      .offset = image * PAGE };

	ck_assert_int_eq(lazy_set_add(&set, &p), 0);
	for (uint64_t i = from; i < to; i++)
		model[i] = (image + i - from) * PAGE;
}

static void check(const struct lazy_set *s)
{
	uint64_t bytes = 0;

	for (uint64_t i = 0; i < PAGES; i++) {
		struct lazy_piece p;
		bool found = lazy_set_find(s, i * PAGE, (i + 1) * PAGE, &p);

		if (found != (model[i] != 0))
			ck_abort_msg("page %lu is%s in the set", i, found ? "" : " not");
		if (!found)
			continue;
		bytes += PAGE;
		if (p.start != i * PAGE || p.end != (i + 1) * PAGE || p.image != model[i] || p.offset != model[i] ||
		    p.file != p.image / PAGE / 1000)
			ck_abort_msg("page %lu is another one", i);
	}
	ck_assert_uint_eq(s->bytes, bytes);
}

static void fill(void)
{
	memset(model, 0, sizeof(model));
	set = (struct lazy_set){};
	add(3, 40, 1000);
	add(40, 41, 3000); /* next to it, but from elsewhere */
	add(50, 120, 4100);
	add(200, 201, 5500);
}

START_TEST(pieces_are_cut_to_what_is_asked_for)
{
	struct lazy_piece p;

	fill();
	check(&set);
	ck_assert(lazy_set_find(&set, 0, UINT64_MAX, &p));
	ck_assert(p.start == 3 * PAGE && p.end == 40 * PAGE);
	ck_assert(lazy_set_find(&set, 39 * PAGE, UINT64_MAX, &p));
	ck_assert(p.start == 39 * PAGE && p.end == 40 * PAGE && p.image == 1036 * PAGE);
	ck_assert(lazy_set_find(&set, 41 * PAGE, 60 * PAGE, &p));
	ck_assert(p.start == 50 * PAGE && p.end == 60 * PAGE);
	ck_assert(!lazy_set_find(&set, 41 * PAGE, 50 * PAGE, &p));
	lazy_set_free(&set);
}
END_TEST

/* Anything, in any order: as an array would do it. */
START_TEST(random_changes_are_as_in_an_array)
{
	srandom(_i);
	fill();
	for (int step = 0; step < 300; step++) {
		uint64_t from = random() % PAGES, to = random() % PAGES;
		uint64_t len = 1 + random() % 30, moved[30];

		if (from + len > PAGES || to + len > PAGES)
			continue;
		if (random() % 2) {
			ck_assert_int_eq(lazy_set_remove(&set, from * PAGE, (from + len) * PAGE), 0);
			memset(model + from, 0, len * sizeof(*model));
		} else if (from + len <= to || to + len <= from) { /* as mremap(2) */
			ck_assert_int_eq(lazy_set_move(&set, from * PAGE, to * PAGE, len * PAGE), 0);
			memcpy(moved, model + from, len * sizeof(*model));
			memset(model + from, 0, len * sizeof(*model));
			memcpy(model + to, moved, len * sizeof(*model));
		}
		struct lazy_piece p;
		if (lazy_set_find(&set, from * PAGE, UINT64_MAX, &p)) { /* out, and some of it back */
			ck_assert_int_eq(lazy_set_remove(&set, p.start, p.end), 0);
			uint64_t back = p.start + random() % ((p.end - p.start) / PAGE) * PAGE;
			ck_assert_int_eq(lazy_set_put_back(&set, &p, back), 0);
			memset(model + p.start / PAGE, 0, (back - p.start) / PAGE * sizeof(*model));
		}
		check(&set);
		if (random() % 16 == 0) {
			struct lazy_set copy = {};

			ck_assert_int_eq(lazy_set_copy(&set, &copy), 0);
			check(&copy);
			lazy_set_free(&set);
			set = copy;
		}
	}
	lazy_set_free(&set);
	ck_assert(!lazy_set_find(&set, 0, UINT64_MAX, &(struct lazy_piece){}));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("lazy_mm");
	TCase *tc = tcase_create("lazy_mm");

	tcase_add_test(tc, pieces_are_cut_to_what_is_asked_for);
	tcase_add_loop_test(tc, random_changes_are_as_in_an_array, 0, 40);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
