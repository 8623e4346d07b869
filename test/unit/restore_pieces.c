/* The pieces in which a task and the coordinator load pages: each byte is in one of them, at its place in the image. */
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "restorer_abi.h"
#include "suite.h"

#define RUNS 500
#define READS 20

/* Runs of 1 page to 8 MiB, some of them side by side with 2 MiB. */
static void make_reads(struct restorer_read *reads, struct restorer_pages *pages)
{
	static const uint64_t lens[] = { 1, 2, 63, 64, 65, 512, 513, 2048 };
	uint64_t addr = 0x7f0000000000 + IMAGE_PAGE_SIZE;

	for (int i = 0; i < RUNS; i++) {
		uint64_t len = lens[random() % 8] * IMAGE_PAGE_SIZE;

		pages[i] = (struct restorer_pages){ addr, len };
		addr += len + (random() % 3) * IMAGE_PAGE_SIZE;
	}
	for (int i = 0; i < READS; i++) {
		reads[i] = (struct restorer_read){ .offset = (uint64_t)i << 40, .file = i, .copy = random() % 2 };
		reads[i].pages = &pages[i * (RUNS / READS)];
		reads[i].count = RUNS / READS;
	}
}

/* Where byte offset of the read belongs. */
static uint64_t address_of(const struct restorer_read *r, uint64_t offset)
{
	for (uint64_t i = 0; i < r->count; offset -= r->pages[i++].len)
		if (offset < r->pages[i].len)
			return r->pages[i].addr + offset;
	return 0;
}

static void check_piece(const struct restorer_read *reads, const struct restorer_piece *piece, int copy)
{
	const struct restorer_read *r = &reads[piece->file];
	uint64_t offset = piece->offset - r->offset, len = 0;

	ck_assert_int_eq(r->copy, copy);
	ck_assert_int_ge(piece->count, 1);
	ck_assert_int_le(piece->count, RESTORER_BATCH);
	for (uint32_t i = 0; i < piece->count; i++) {
		ck_assert_uint_eq(piece->pages[i].addr, address_of(r, offset + len));
		ck_assert_uint_eq(piece->pages[i].addr + piece->pages[i].len - 1,
				  address_of(r, offset + len + piece->pages[i].len - 1));
		len += piece->pages[i].len;
	}
	ck_assert_uint_eq(len, piece->len);
	if (len <= RESTORER_COPY)
		return;
	/* nobody else fills a part of the same huge page */
	ck_assert_int_eq(piece->count, 1);
	ck_assert_int_eq(copy, 0);
	ck_assert_uint_eq(piece->pages[0].addr / RESTORER_HUGE, (piece->pages[0].addr + len - 1) / RESTORER_HUGE);
}

/* Two who take turns by chance. */
static uint64_t walk(const struct restorer_read *reads, int copy)
{
	struct restorer_place at[2] = {};
	struct restorer_piece piece;
	uint64_t bytes = 0;

	for (uint64_t next = 0; restorer_find_piece(reads, READS, copy, &at[random() % 2], next, &piece); next++) {
		check_piece(reads, &piece, copy);
		bytes += piece.len;
	}
	return bytes;
}

START_TEST(every_byte_once)
{
	struct restorer_pages pages[RUNS];
	struct restorer_read reads[READS];
	uint64_t bytes = 0;

	srandom(_i);
	make_reads(reads, pages);
	for (int i = 0; i < RUNS; i++)
		bytes += pages[i].len;
	ck_assert_uint_eq(walk(reads, 0) + walk(reads, 1), bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pieces of pages");
	TCase *tests = tcase_create("all");

	tcase_add_loop_test(tests, every_byte_once, 0, 200);
	suite_add_tcase(suite, tests);
	return suite_run(suite);
}
