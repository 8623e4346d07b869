/* Events in an order in which they cannot have happened: no page is lost, and none comes to where another one belongs.
 */
#include "../../ckpt/lazy_moves.h"
#include "suite.h"

#include <stdlib.h>

#define PAGE 4096ul
#define A (16 * PAGE) /* places of 8 pages */
#define B (32 * PAGE)
#define C (48 * PAGE)
#define D (64 * PAGE)
#define LEN (8 * PAGE)

static struct lazy_set set;
static struct lazy_moves moves;

/* Memory at A and C, whose first pages have come already. */
static void begin(void)
{
	const struct lazy_piece a = { A, A + LEN, A, 0, A }, c = { C, C + LEN, C, 0, C };

	set = (struct lazy_set){};
	ck_assert_int_eq(lazy_set_add(&set, &a), 0);
	ck_assert_int_eq(lazy_set_add(&set, &c), 0);
	ck_assert_int_eq(lazy_moves_begin(&moves, &set), 0);
	ck_assert_int_eq(lazy_set_remove(&set, A, A + 4 * PAGE), 0);
	ck_assert_int_eq(lazy_set_remove(&set, C, C + PAGE), 0);
}

static void end(void)
{
	lazy_moves_free(&moves);
	lazy_set_free(&set);
}

static void move(uint64_t from, uint64_t to)
{
	ck_assert_int_eq(lazy_moves_add(&moves, &set, from, to, LEN), 0);
}

static void unmap(uint64_t start)
{
	ck_assert_int_eq(lazy_moves_unmap(&moves, &set, start, start + LEN), 0);
}

/* What is missing at a place is what was at another one in the images; 0: nothing is. */
static void expect(uint64_t at, uint64_t image, uint64_t pages)
{
	struct lazy_piece p;
	uint64_t bytes = 0;

	for (uint64_t from = at; lazy_set_find(&set, from, at + LEN, &p); from = p.end) {
		ck_assert_uint_eq(p.image - p.start, image - at);
		bytes += p.end - p.start;
	}
	ck_assert_uint_eq(bytes, pages * PAGE);
}

START_TEST(in_order)
{
	begin();
	move(A, B);
	unmap(A);
	expect(A, 0, 0);
	expect(B, A, 4);
	move(C, A);
	unmap(C);
	expect(A, C, 7);
	unmap(A);
	expect(A, 0, 0);
	ck_assert(!lazy_moves_wait(&moves));
	end();
}
END_TEST

/* The other thread has moved to where this one comes from, before this one has told that it is gone. */
START_TEST(place_is_taken_at_once)
{
	begin();
	move(A, B);
	move(C, A);
	unmap(A); /* of the first */
	unmap(C);
	expect(A, C, 7);
	expect(B, A, 4);
	end();
}
END_TEST

START_TEST(second_is_heard_first)
{
	begin();
	move(C, A);
	ck_assert(lazy_moves_wait(&moves));
	expect(C, C, 7);
	unmap(C);
	ck_assert(lazy_moves_wait(&moves));
	move(A, B);
	ck_assert(!lazy_moves_wait(&moves));
	unmap(A);
	expect(A, C, 7);
	expect(B, A, 4);
	expect(C, 0, 0);
	end();
}
END_TEST

START_TEST(place_was_unmapped)
{
	begin();
	move(C, A);
	unmap(A);
	unmap(C);
	expect(A, C, 7);
	expect(C, 0, 0);
	ck_assert(!lazy_moves_wait(&moves));
	end();
}
END_TEST

START_TEST(three_in_a_row)
{
	begin();
	move(A, D);
	unmap(A);
	move(B, C); /* nothing of the images, but memory that has moved there */
	ck_assert(lazy_moves_wait(&moves));
	move(C, A);
	unmap(C);
	unmap(B);
	expect(D, A, 4);
	expect(A, C, 7);
	expect(C, 0, 0);
	end();
}
END_TEST

START_TEST(what_never_comes)
{
	begin();
	move(C, A);
	ck_assert(lazy_moves_wait(&moves));
	ck_assert_int_eq(lazy_moves_settle(&moves, &set), 0);
	ck_assert(!lazy_moves_wait(&moves));
	expect(A, C, 7);
	unmap(A); /* is one of its own now */
	expect(A, 0, 0);
	end();
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("moves of memory that comes late");
	TCase *tests = tcase_create("all");

	tcase_add_test(tests, in_order);
	tcase_add_test(tests, place_is_taken_at_once);
	tcase_add_test(tests, second_is_heard_first);
	tcase_add_test(tests, place_was_unmapped);
	tcase_add_test(tests, three_in_a_row);
	tcase_add_test(tests, what_never_comes);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
