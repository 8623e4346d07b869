/* Page maps of incremental images: each page is found where it is, and what is missing or wrong is an error. */
#include "page_chain.h"

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
#define PIECES 64

static char path[64];
static struct image_dir first;
static struct image_chain chain;
static struct pagemap_piece found[PIECES];
static size_t n_found;

struct entry {
	uint64_t page, pages;
	uint32_t flags;
};

/* One directory of the chain: "." and its parents "1", "2". pages_short: so many fewer in the page image. */
static void put_set(const char *name, uint32_t pages_id, const struct entry *entries, size_t n, uint64_t pages_short)
{
	char at[80];
	struct image_dir dir;
	struct image_writer w;
	PagemapHead head = PAGEMAP_HEAD__INIT;
	uint64_t pages = 0;

	snprintf(at, sizeof(at), "%s/%s", path, name);
	mkdir(at, 0700);
	ck_assert_int_eq(image_dir_open(&dir, at), 0);
	dir.partial_fd = dir.fd; /* straight to their names */
	head.pages_id = pages_id;
	image_create(&w, &dir, IMG_PAGEMAP, ID);
	image_put(&w, &head.base);
	for (size_t i = 0; i < n; i++) {
		PagemapEntry e = PAGEMAP_ENTRY__INIT;

		e.vaddr = entries[i].page * PAGE;
		e.has_nr_pages = e.has_flags = true;
		e.nr_pages = e.compat_nr_pages = entries[i].pages;
		e.flags = entries[i].flags;
		pages += e.flags & PE_PRESENT ? e.nr_pages : 0;
		image_put(&w, &e.base);
	}
	ck_assert_int_eq(image_close(&w), 0);
	int fd = image_create_raw(&dir, IMG_PAGES, pages_id);
	ck_assert_int_eq(ftruncate(fd, (pages - pages_short) * PAGE), 0);
	close(fd);
	dir.partial_fd = -1;
	image_dir_close(&dir);
}

#define PUT(name, pages_id, ...)                                                                                       \
	do {                                                                                                           \
		const struct entry _e[] = { __VA_ARGS__ };                                                             \
		put_set(name, pages_id, _e, sizeof(_e) / sizeof(_e[0]), 0);                                            \
	} while (0)

static void put_link(const char *name, const char *to)
{
	char at[160];

	snprintf(at, sizeof(at), "%s/%s/parent", path, name);
	ck_assert_int_eq(symlink(to, at), 0);
}

static int take(void *unused, const struct pagemap_piece *piece)
{
	ck_assert_uint_lt(n_found, PIECES);
	found[n_found++] = *piece;
	return 0;
}

/* Opens the chain and walks the page map. */
static int walk(void)
{
	n_found = 0;
	log_mute(true);
	int err = image_chain_open(&chain, &first);
	if (!err)
		err = pagemap_walk(&chain, IMG_PAGEMAP, ID, take, NULL);
	log_mute(false);
	image_chain_close(&chain);
	return err;
}

static void expect(size_t i, uint64_t page, uint64_t pages, size_t depth, uint32_t id, uint64_t offset)
{
	ck_assert_uint_lt(i, n_found);
	ck_assert_uint_eq(found[i].start, page * PAGE);
	ck_assert_uint_eq(found[i].end, (page + pages) * PAGE);
	ck_assert_uint_eq(found[i].depth, depth);
	ck_assert_uint_eq(found[i].pages_id, id);
	ck_assert_uint_eq(found[i].offset, offset * PAGE);
}

START_TEST(pages_are_found_at_any_depth)
{
	PUT(".", 1, { 10, 2, PE_PRESENT }, { 12, 6, PE_PARENT }, { 20, 1, PE_PRESENT | PE_LAZY }, { 30, 1, PE_PARENT });
	PUT("1", 5, { 1, 9, PE_PRESENT }, { 12, 2, PE_PRESENT }, { 14, 3, PE_PARENT }, { 17, 20, PE_PRESENT });
	PUT("2", 9, { 2, 1, PE_PRESENT }, { 13, 2, PE_PRESENT }, { 15, 1, PE_PRESENT | PE_LAZY },
	    { 16, 2, PE_PRESENT });
	put_link(".", "1");
	put_link("1", "../2");
	ck_assert_int_eq(walk(), 0);
	expect(0, 10, 2, 0, 1, 0);
	expect(1, 12, 2, 1, 5, 9);
	expect(2, 14, 1, 2, 9, 2);
	expect(3, 15, 1, 2, 9, 3);
	expect(4, 16, 1, 2, 9, 4);
	expect(5, 17, 1, 1, 5, 11);
	expect(6, 20, 1, 0, 1, 2);
	expect(7, 30, 1, 1, 5, 11 + 13);
	ck_assert_uint_eq(n_found, 8);
	ck_assert(found[3].lazy && found[6].lazy && !found[2].lazy);
}
END_TEST

START_TEST(chains_may_be_long)
{
	char name[8], next[16];

	PUT(".", 1, { 3, 1, PE_PARENT });
	put_link(".", "1");
	for (int i = 1; i < 300; i++) {
		snprintf(name, sizeof(name), "%d", i);
		snprintf(next, sizeof(next), "../%d", i + 1);
		PUT(name, i, { 3, 1, PE_PARENT });
		put_link(name, next);
	}
	PUT("300", 77, { 3, 1, PE_PRESENT });
	ck_assert_int_eq(walk(), 0);
	ck_assert_uint_eq(n_found, 1);
	expect(0, 3, 1, 300, 77, 0);
}
END_TEST

START_TEST(pages_on_a_server_are_told)
{
	PUT(".", 1, { 3, 1, PE_LAZY }, { 4, 1, PE_PARENT });
	PUT("1", 1, { 4, 2, PE_LAZY });
	put_link(".", "1");
	ck_assert_int_eq(walk(), 0);
	ck_assert_uint_eq(n_found, 2);
	ck_assert(found[0].away && found[0].lazy && found[1].away);
}
END_TEST

#define PARENT_OF_12 PUT(".", 1, { 12, 2, PE_PARENT })

START_TEST(what_is_missing_is_an_error)
{
	switch (_i) {
	case 0: /* no parent */
		PARENT_OF_12;
		break;
	case 1: /* nothing of this task there */
		PARENT_OF_12;
		PUT("1", 1, { 12, 2, PE_PRESENT });
		put_link(".", "1");
		snprintf(path + strlen(path), 32, "/1/pagemap-%d.img", ID);
		ck_assert_int_eq(unlink(path), 0);
		*strstr(path, "/1/") = 0;
		break;
	case 2: /* one of two pages */
		PARENT_OF_12;
		PUT("1", 1, { 12, 1, PE_PRESENT });
		put_link(".", "1");
		break;
	case 3: /* the second of two */
		PARENT_OF_12;
		PUT("1", 1, { 13, 1, PE_PRESENT });
		put_link(".", "1");
		break;
	case 4: /* an entry of no pages at all */
		PARENT_OF_12;
		PUT("1", 1, { 12, 2, 0 });
		put_link(".", "1");
		break;
	case 5: /* further up */
		PARENT_OF_12;
		PUT("1", 1, { 12, 2, PE_PARENT });
		put_link(".", "1");
		break;
	case 6: /* fewer bytes than it says */
		PARENT_OF_12;
		put_set("1", 1, &(struct entry){ 12, 2, PE_PRESENT }, 1, 1);
		put_link(".", "1");
		break;
	case 7:
		put_set(".", 1, &(struct entry){ 12, 2, PE_PRESENT }, 1, 1);
		break;
	case 8:
		PUT(".", 1, { 12, 2, PE_PRESENT | PE_PARENT });
		break;
	}
	ck_assert_int_eq(walk(), -EBADMSG);
}
END_TEST

START_TEST(links_that_lead_nowhere_are_errors)
{
	static const struct {
		const char *to;
		int err;
	} links[] = { { "nowhere", -ENOENT },
		      { ".", -ELOOP },
		      { "1", -ELOOP },
		      { "parent", -ELOOP },
		      { "pagemap-7.img", -ENOTDIR } };

	PUT(".", 1, { 12, 2, PE_PRESENT });
	PUT("1", 1, { 12, 2, PE_PRESENT });
	put_link("1", "..");
	put_link(".", links[_i].to);
	ck_assert_int_eq(walk(), links[_i].err);
}
END_TEST

START_TEST(entries_that_make_no_sense_are_errors)
{
	static const struct entry bad[][2] = {
		{ { 12, 0, PE_PRESENT }, { 20, 1, PE_PRESENT } },
		{ { 12, 2, PE_PARENT }, { 13, 1, PE_PRESENT } },
		{ { 12, 2, PE_PRESENT }, { 3, 1, PE_PRESENT } },
		{ { 1ul << 35, 1, PE_PRESENT }, { 1ul << 36, 1, PE_PRESENT } },
		{ { 12, 1ul << 36, PE_LAZY }, { 1ul << 36, 1, PE_PRESENT } },
	};

	put_set(".", 1, bad[_i], 2, 0);
	ck_assert_int_eq(walk(), -EBADMSG);
	ck_assert_uint_eq(n_found, 0);
}
END_TEST

START_TEST(names_of_page_maps_are_known)
{
	static const char *const others[] = { "pagemap-.img",	  "pagemap-1",		 "pagemap-01.img",
					      "pagemap--1.img",	  "pagemap-shmem-x.img", "pages-1.img",
					      "pagemap-1.img.old" };
	enum image_kind kind;
	unsigned long id;

	ck_assert(pagemap_file_id("pagemap-12.img", &kind, &id) && kind == IMG_PAGEMAP && id == 12);
	ck_assert(pagemap_file_id("pagemap-shmem-12.img", &kind, &id) && kind == IMG_SHMEM_PAGEMAP && id == 12);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		ck_assert(!pagemap_file_id(others[i], &kind, &id));
}
END_TEST

static void setup(void)
{
	strcpy(path, "/tmp/ckpt-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(image_dir_open(&first, path), 0);
}

static void teardown(void)
{
	char command[96];

	image_dir_close(&first);
	snprintf(command, sizeof(command), "rm -r %s", path);
	ck_assert_int_eq(system(command), 0);
}

int main(void)
{
	Suite *s = suite_create("page_chain");
	TCase *tc = tcase_create("page_chain");

	log_init(AT_FDCWD, NULL, LOG_MSG);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, pages_are_found_at_any_depth);
	tcase_add_test(tc, chains_may_be_long);
	tcase_add_test(tc, pages_on_a_server_are_told);
	tcase_add_loop_test(tc, what_is_missing_is_an_error, 0, 9);
	tcase_add_loop_test(tc, links_that_lead_nowhere_are_errors, 0, 5);
	tcase_add_loop_test(tc, entries_that_make_no_sense_are_errors, 0, 5);
	tcase_add_test(tc, names_of_page_maps_are_known);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
