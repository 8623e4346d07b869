/* Duplicates in incremental images: exactly what the newest set has itself is cut out of its parents. */
#include "dedup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_consts.h"
#include "image_messages.h"
#include "log.h"
#include "suite.h"

#define PAGE IMAGE_PAGE_SIZE
#define ID 7

static char path[64];

/* A directory whose pages are in these ranges of the page map, each filled with its number and the letter. */
static void put_set(const char *name, char letter, uint64_t from, uint64_t to, uint32_t flags)
{
	char at[80], page[PAGE];
	struct image_dir dir;
	struct image_writer w;
	PagemapHead head = PAGEMAP_HEAD__INIT;
	PagemapEntry e = PAGEMAP_ENTRY__INIT;

	snprintf(at, sizeof(at), "%s/%s", path, name);
	mkdir(at, 0700);
	ck_assert_int_eq(image_dir_open(&dir, at), 0);
	dir.partial_fd = dir.fd; /* straight to their names */
	head.pages_id = 3;
	image_create(&w, &dir, IMG_PAGEMAP, ID);
	image_put(&w, &head.base);
	e.vaddr = from * PAGE;
	e.has_nr_pages = e.has_flags = true;
	e.nr_pages = to - from;
	e.flags = flags;
	image_put(&w, &e.base);
	ck_assert_int_eq(image_close(&w), 0);
	int fd = image_create_raw(&dir, IMG_PAGES, 3);
	for (uint64_t i = from; i < to && flags & PE_PRESENT; i++) {
		memset(page, letter, PAGE);
		ck_assert_int_eq(write(fd, page, PAGE), PAGE);
	}
	close(fd);
	dir.partial_fd = -1;
	image_dir_close(&dir);
}

static void put_link(const char *name, const char *to)
{
	char at[160];

	snprintf(at, sizeof(at), "%s/%s/parent", path, name);
	ck_assert_int_eq(symlink(to, at), 0);
}

/* What the page image holds, a letter a page; '.': nothing. */
static const char *pages_of(const char *name)
{
	static char found[32];
	char at[96], page[PAGE];
	size_t n = 0;

	snprintf(at, sizeof(at), "%s/%s/pages-3.img", path, name);
	int fd = open(at, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	for (; pread(fd, page, PAGE, n * PAGE) == PAGE; n++)
		found[n] = page[0] ? page[0] : '.';
	found[n] = 0;
	close(fd);
	return found;
}

static bool marked(const char *name)
{
	char at[96];

	snprintf(at, sizeof(at), "%s/%s/" DEDUP_MARK, path, name);
	return !access(at, F_OK);
}

static int dedup(uint64_t *bytes)
{
	struct image_dir dir;

	ck_assert_int_eq(image_dir_open(&dir, path), 0);
	log_mute(true);
	int err = dedup_parents(&dir, bytes);
	log_mute(false);
	image_dir_close(&dir);
	return err;
}

START_TEST(what_is_newer_is_cut_out_of_all_parents)
{
	uint64_t bytes;

	put_set(".", 'c', 12, 14, PE_PRESENT);
	put_set("1", 'b', 13, 17, PE_PRESENT);
	put_set("2", 'a', 10, 17, PE_PRESENT);
	put_link(".", "1");
	put_link("1", "../2");
	ck_assert_int_eq(dedup(&bytes), 0);
	ck_assert_str_eq(pages_of("."), "cc");
	ck_assert_str_eq(pages_of("1"), ".bbb");
	ck_assert_str_eq(pages_of("2"), "aa..aaa");
	ck_assert_uint_eq(bytes, 3 * PAGE);
	ck_assert(!marked(".") && marked("1") && marked("2"));
	ck_assert_int_eq(dedup(&bytes), 0); /* again, and nothing more goes */
	ck_assert_str_eq(pages_of("1"), ".bbb");
	ck_assert_str_eq(pages_of("2"), "aa..aaa");
}
END_TEST

START_TEST(what_is_needed_stays)
{
	uint64_t bytes;

	put_set(".", 'b', 12, 17, _i ? PE_PARENT : PE_LAZY);
	put_set("1", 'a', 12, 17, PE_PRESENT);
	put_link(".", "1");
	ck_assert_int_eq(dedup(&bytes), 0);
	ck_assert_str_eq(pages_of("1"), "aaaaa");
	ck_assert_uint_eq(bytes, 0);
	ck_assert(!marked("1"));
}
END_TEST

/* Less in the page image than the page map says: the parent has the only copy. */
START_TEST(a_broken_set_takes_nothing_from_its_parents)
{
	uint64_t bytes;
	char at[96];

	put_set(".", 'b', 12, 17, PE_PRESENT);
	put_set("1", 'a', 12, 17, PE_PRESENT);
	put_link(".", "1");
	snprintf(at, sizeof(at), "%s/pages-3.img", path);
	if (_i)
		ck_assert_int_eq(unlink(at), 0);
	else
		ck_assert_int_eq(truncate(at, 4 * PAGE), 0);
	ck_assert_int_eq(dedup(&bytes), -EBADMSG);
	ck_assert_str_eq(pages_of("1"), "aaaaa");
}
END_TEST

START_TEST(one_page_image_under_two_names_is_refused)
{
	uint64_t bytes;
	char from[96], to[96];

	put_set(".", 'b', 12, 17, PE_PRESENT);
	put_set("1", 'a', 12, 17, PE_PRESENT);
	put_link(".", "1");
	snprintf(from, sizeof(from), "%s/pages-3.img", path);
	snprintf(to, sizeof(to), "%s/1/pages-3.img", path);
	unlink(to);
	ck_assert_int_eq(_i ? link(from, to) : symlink("../pages-3.img", to), 0);
	ck_assert_int_eq(dedup(&bytes), -EINVAL);
	ck_assert_str_eq(pages_of("."), "bbbbb");
}
END_TEST

START_TEST(without_parents_there_is_nothing_to_do)
{
	uint64_t bytes;

	put_set(".", 'b', 12, 17, PE_PRESENT);
	ck_assert_int_eq(dedup(&bytes), 0);
	ck_assert_uint_eq(bytes, 0);
	ck_assert_str_eq(pages_of("."), "bbbbb");
}
END_TEST

START_TEST(a_new_set_takes_the_mark_away)
{
	struct image_dir dir;

	ck_assert_int_eq(image_dir_open(&dir, path), 0);
	ck_assert_int_eq(dedup_mark(&dir), 0);
	ck_assert(dedup_is_marked(&dir));
	ck_assert_int_eq(image_dir_begin(&dir), 0);
	ck_assert(dedup_is_marked(&dir));
	ck_assert_int_eq(image_dir_commit(&dir), 0);
	ck_assert(!dedup_is_marked(&dir));
	image_dir_close(&dir);
}
END_TEST

static void setup(void)
{
	strcpy(path, "/tmp/ckpt-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
}

static void teardown(void)
{
	char command[96];

	snprintf(command, sizeof(command), "rm -r %s", path);
	ck_assert_int_eq(system(command), 0);
}

int main(void)
{
	Suite *s = suite_create("dedup");
	TCase *tc = tcase_create("dedup");

	log_init(AT_FDCWD, NULL, LOG_MSG);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, what_is_newer_is_cut_out_of_all_parents);
	tcase_add_loop_test(tc, what_is_needed_stays, 0, 2);
	tcase_add_loop_test(tc, a_broken_set_takes_nothing_from_its_parents, 0, 2);
	tcase_add_loop_test(tc, one_page_image_under_two_names_is_refused, 0, 2);
	tcase_add_test(tc, without_parents_there_is_nothing_to_do);
	tcase_add_test(tc, a_new_set_takes_the_mark_away);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
