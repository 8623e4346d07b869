/* Compressed page images: what goes in comes out, and what is damaged does not. */
#include "packed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "suite.h"

#define FRAME (256ul << 10)

static char path[64];
static struct image_dir dir;
static uint8_t *pages;
static const struct pack_work work;

static void make_directory(void)
{
	strcpy(path, "/tmp/ckpt-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(image_dir_open(&dir, path), 0);
	pages = malloc(8 * FRAME);
	/* pages that compress, those that do not, and zeros */
	for (size_t i = 0; i < 8 * FRAME; i++)
		pages[i] = i < 2 * FRAME ? i / 512 : i < 5 * FRAME ? (i * 2654435761u) >> 13 : 0;
	log_mute(true);
}

static void remove_directory(void)
{
	char command[128];

	log_mute(false);
	image_dir_close(&dir);
	free(pages);
	snprintf(command, sizeof(command), "rm -r %s", path);
	ck_assert_int_eq(system(command), 0);
}

static void write_pages(unsigned long id, size_t size)
{
	int fd = image_create_raw(&dir, IMG_PAGES, id);

	ck_assert_int_eq(write(fd, pages, size), size);
	close(fd);
}

/* A set with page image 1 of so many bytes. */
static void write_set(enum packing how, size_t size)
{
	ck_assert_int_eq(image_dir_begin(&dir), 0);
	write_pages(1, size);
	if (how)
		ck_assert_int_eq(packed_make(&dir, how, &work), 0);
	ck_assert_int_eq(image_dir_commit(&dir), 0);
}

static void expect_pages(int fd, size_t size)
{
	uint8_t *got = malloc(size + 1);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pread(fd, got, size + 1, 0), size);
	ck_assert(!memcmp(got, pages, size));
	free(got);
	close(fd);
}

static const size_t sizes[] = { 0, 4096, FRAME - 4096, FRAME, FRAME + 4096, 8 * FRAME };

START_TEST(pages_come_back)
{
	for (enum packing how = PACK_LZ4; how <= PACK_ZSTD; how++) {
		uint64_t bytes;

		write_set(how, sizes[_i]);
		ck_assert(packed_is(&dir, 1));
		ck_assert_int_eq(packed_size(&dir, 1, &bytes), 0);
		ck_assert_uint_eq(bytes, sizes[_i]);
		expect_pages(packed_open(&dir, 1), sizes[_i]);
		expect_pages(image_open_raw(&dir, IMG_PAGES, 1), sizes[_i]);
	}
}
END_TEST

/* Those who know the formats can read it without us. */
START_TEST(other_tools_read_it)
{
	static const char *const tools[] = { [PACK_LZ4] = "lz4", [PACK_ZSTD] = "zstd" };

	for (enum packing how = PACK_LZ4; how <= PACK_ZSTD; how++) {
		char command[256];

		snprintf(command, sizeof(command), "command -v %s > /dev/null", tools[how]);
		if (system(command))
			continue;
		write_set(how, 8 * FRAME);
		snprintf(command, sizeof(command), "%s -dc < %s/pages-packed-1.img > %s/plain", tools[how], path, path);
		ck_assert_int_eq(system(command), 0);
		expect_pages(openat(dir.fd, "plain", O_RDONLY), 8 * FRAME);
	}
}
END_TEST

START_TEST(all_are_unpacked_at_once)
{
	int err;

	ck_assert_int_eq(packed_unpack(&dir, &work), 0); /* there are none */
	ck_assert_int_eq(dir.unpacked, 0);
	write_set(PACK_ZSTD, 8 * FRAME);
	err = packed_unpack(&dir, &work);
	if (err == -EPERM)
		return;
	ck_assert_int_eq(err, 0);
	ck_assert_int_gt(dir.unpacked, 2);
	ck_assert_int_eq(unlinkat(dir.fd, "pages-packed-1.img", 0), 0); /* it is not needed any more */
	expect_pages(image_open_raw(&dir, IMG_PAGES, 1), 8 * FRAME);
	ck_assert_int_eq(image_open_raw(&dir, IMG_PAGES, 2), -ENOENT);
}
END_TEST

/* A newer set in the other form must not be mixed up with the older one. */
START_TEST(forms_take_each_others_place)
{
	write_set(PACK_NOT, 4096);
	write_set(PACK_LZ4, FRAME);
	expect_pages(image_open_raw(&dir, IMG_PAGES, 1), FRAME);
	write_set(PACK_NOT, 4096);
	expect_pages(image_open_raw(&dir, IMG_PAGES, 1), 4096);
	ck_assert(faccessat(dir.fd, "pages-packed-1.img", F_OK, 0));
}
END_TEST

START_TEST(every_changed_or_missing_byte_is_found)
{
	enum packing how = _i ? PACK_LZ4 : PACK_ZSTD;
	struct stat st;

	write_set(how, 8192);
	int fd = openat(dir.fd, "pages-packed-1.img", O_RDWR);
	ck_assert_int_eq(fstat(fd, &st), 0);
	for (off_t i = 0; i < st.st_size; i++) {
		uint8_t byte, other;

		ck_assert_int_eq(pread(fd, &byte, 1, i), 1);
		other = byte ^ 0x55;
		ck_assert_int_eq(pwrite(fd, &other, 1, i), 1);
		int got = packed_open(&dir, 1);
		ck_assert_msg(got < 0, "changed at %ld of %ld", (long)i, (long)st.st_size);
		ck_assert_int_eq(pwrite(fd, &byte, 1, i), 1);
	}
	for (off_t i = 0; i < st.st_size; i++) {
		ck_assert_int_eq(ftruncate(fd, st.st_size - 1 - i), 0);
		ck_assert_int_lt(packed_open(&dir, 1), 0);
	}
	close(fd);
}
END_TEST

/* A seek table that somebody else has made. */
static int open_with_table(uint32_t frames, uint32_t packed, uint32_t plain)
{
	struct __attribute__((packed)) {
		uint32_t magic, size, packed, plain, frames;
		uint8_t flags;
		uint32_t seekable;
	} t = { 0x184d2a5e, 17, packed, plain, frames, 0, 0x8f92eab1 };
	int fd = openat(dir.fd, "pages-packed-1.img", O_RDWR | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_eq(pwrite(fd, &t, sizeof(t), 0), sizeof(t));
	close(fd);
	return packed_open(&dir, 1);
}

START_TEST(tables_of_strangers_are_refused)
{
	ck_assert_int_lt(open_with_table(1, 0, 4096), 0);
	ck_assert_int_lt(open_with_table(0, 0, 0), 0);
	ck_assert_int_lt(open_with_table(2, 0, 0), 0);
	ck_assert_int_lt(open_with_table(~0u, 0, 4096), 0);
	ck_assert_int_lt(open_with_table(1, ~0u, 4096), 0);
	ck_assert_int_lt(open_with_table(1, 0, ~0u), 0);
	ck_assert_int_lt(open_with_table(1, 0, 4097), 0);
	ck_assert_int_lt(open_with_table(1, 8, 4096), 0);
}
END_TEST

static int stop(void)
{
	return -EINTR;
}

START_TEST(packing_can_be_ended)
{
	const struct pack_work stopped = { .stop = stop };

	ck_assert_int_eq(image_dir_begin(&dir), 0);
	write_pages(1, 8 * FRAME);
	ck_assert_int_eq(packed_make(&dir, PACK_LZ4, &stopped), -EINTR);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("packed");
	TCase *tc = tcase_create("packed");

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, make_directory, remove_directory);
	tcase_add_loop_test(tc, pages_come_back, 0, sizeof(sizes) / sizeof(sizes[0]));
	tcase_add_test(tc, other_tools_read_it);
	tcase_add_test(tc, all_are_unpacked_at_once);
	tcase_add_test(tc, forms_take_each_others_place);
	tcase_add_loop_test(tc, every_changed_or_missing_byte_is_found, 0, 2);
	tcase_add_test(tc, tables_of_strangers_are_refused);
	tcase_add_test(tc, packing_can_be_ended);
	return suite_run(s);
}
