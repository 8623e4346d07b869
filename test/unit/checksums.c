/* Checksums of sets of images: what differs is found, and lists that strangers have made do no harm. */
#include "checksums.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image_messages.h"
#include "log.h"
#include "suite.h"

#define LARGE ((64ul << 20) + 5000) /* a piece and some more */

static char path[64];
static struct image_dir dir;
static const struct checksum_work work, pages_only = { .pages_only = true };

static void make_directory(void)
{
	strcpy(path, "/tmp/ckpt-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(image_dir_open(&dir, path), 0);
	log_mute(true);
}

static void remove_directory(void)
{
	char command[128];

	log_mute(false);
	image_dir_close(&dir);
	snprintf(command, sizeof(command), "rm -r %s", path);
	ck_assert_int_eq(system(command), 0);
}

static void put_file(int at, const char *name, const char *text, uint64_t size)
{
	int fd = openat(at, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_eq(write(fd, text, strlen(text)), strlen(text));
	ck_assert_int_eq(ftruncate(fd, size), 0);
	close(fd);
}

static void write_set(bool sums)
{
	ck_assert_int_eq(image_dir_begin(&dir), 0);
	put_file(dir.partial_fd, "inventory.img", "inventory", 9);
	put_file(dir.partial_fd, "pages-1.img", "pages", LARGE);
	put_file(dir.partial_fd, "pagemap-1.img", "", 0);
	put_file(dir.partial_fd, "stats-dump", "stats", 5);
	if (sums)
		ck_assert_int_eq(checksums_write(&dir, &work), 0);
	ck_assert_int_eq(image_dir_commit(&dir), 0);
}

static void change(const char *name, off_t at)
{
	int fd = openat(dir.fd, name, O_RDWR);

	ck_assert_int_eq(pwrite(fd, "x", 1, at), 1);
	close(fd);
}

START_TEST(a_good_set_is_good)
{
	write_set(true);
	ck_assert_int_eq(checksums_verify(&dir, &work), 1);
	ck_assert_int_eq(checksums_verify(&dir, &pages_only), 1);
	put_file(dir.fd, "stats-dump", "other", 5); /* is not restored */
	ck_assert_int_eq(checksums_verify(&dir, &work), 1);
}
END_TEST

START_TEST(what_changed_is_found)
{
	write_set(true);
	change("inventory.img", 3);
	ck_assert_int_eq(checksums_verify(&dir, &work), -EBADMSG);
	ck_assert_int_eq(checksums_verify(&dir, &pages_only), 1);
	write_set(true);
	change("pages-1.img", LARGE - 1); /* in the last piece */
	ck_assert_int_eq(checksums_verify(&dir, &work), -EBADMSG);
	ck_assert_int_eq(checksums_verify(&dir, &pages_only), -EBADMSG);
}
END_TEST

START_TEST(what_was_cut_or_is_gone_is_found)
{
	write_set(true);
	put_file(dir.fd, "pages-1.img", "pages", LARGE - 1);
	ck_assert_int_eq(checksums_verify(&dir, &work), -EBADMSG);
	write_set(true);
	put_file(dir.fd, "pagemap-1.img", "", 1);
	ck_assert_int_eq(checksums_verify(&dir, &pages_only), -EBADMSG);
	write_set(true);
	ck_assert_int_eq(unlinkat(dir.fd, "pagemap-1.img", 0), 0);
	ck_assert_int_eq(checksums_verify(&dir, &work), -EBADMSG);
	ck_assert_int_eq(mkfifoat(dir.fd, "pagemap-1.img", 0600), 0); /* is not waited for */
	ck_assert_int_eq(checksums_verify(&dir, &work), -EBADMSG);
}
END_TEST

START_TEST(a_newer_set_without_checksums_has_none)
{
	write_set(true);
	write_set(false);
	ck_assert_int_eq(checksums_verify(&dir, &work), 0);
}
END_TEST

START_TEST(a_set_that_failed_leaves_the_older_one)
{
	write_set(true);
	ck_assert_int_eq(image_dir_begin(&dir), 0);
	put_file(dir.partial_fd, "pagemap-1.img", "new", 3);
	put_file(dir.partial_fd, "in-the-way", "", 0);
	ck_assert_int_eq(mkdirat(dir.fd, "in-the-way", 0700), 0);
	ck_assert_int_lt(image_dir_commit(&dir), 0);
	image_dir_abort(&dir);
	ck_assert_int_eq(checksums_verify(&dir, &work), 1);
}
END_TEST

START_TEST(pages_that_were_cut_out_do_not_count)
{
	write_set(true);
	change("pages-1.img", 0);
	put_file(dir.fd, DEDUP_MARK, "", 0);
	ck_assert_int_eq(checksums_verify(&dir, &work), 1);
	change("inventory.img", 0);
	ck_assert_int_eq(checksums_verify(&dir, &work), -EBADMSG);
}
END_TEST

/* A list of one file, as somebody else might make it. */
static int verify_list(const char *name, uint64_t size, uint64_t piece, size_t sums, int algorithm)
{
	ChecksumsEntry e = CHECKSUMS_ENTRY__INIT;
	FileChecksum f = FILE_CHECKSUM__INIT, *list[] = { &f };
	uint8_t zeros[256] = {};

	f.name = (char *)name;
	f.size = size;
	f.sums = (ProtobufCBinaryData){ sums, zeros };
	e.algorithm = algorithm;
	e.piece_size = piece;
	e.n_files = 1;
	e.files = list;
	dir.partial_fd = dir.fd; /* straight to its name */
	ck_assert_int_eq(image_write_one(&dir, IMG_CHECKSUMS, 0, &e.base), 0);
	dir.partial_fd = -1;
	return checksums_verify(&dir, &work);
}

START_TEST(lists_of_strangers_are_refused)
{
	write_set(false);
	ck_assert_int_eq(verify_list("inventory.img", 9, 4096, 16, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("../etc/passwd", 9, 4096, 16, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("/etc/passwd", 9, 4096, 16, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("", 0, 4096, 16, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("..", 0, 4096, 16, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("inventory.img", 9, 0, 16, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("inventory.img", 9, 1, 9 * 16, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("inventory.img", 9, 4096, 0, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("inventory.img", 9, 4096, 15, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("inventory.img", 9, 4096, 32, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("inventory.img", ~0ul, ~0ul, 16, 1), -EBADMSG);
	ck_assert_int_eq(verify_list("pages-1.img", LARGE, ~0ul, 16, 1), -EBADMSG); /* one piece */
	ck_assert_int_eq(verify_list("inventory.img", 9, 4096, 16, 2), -EBADMSG);
	put_file(dir.fd, CHECKSUMS_NAME, "nonsense", 8);
	ck_assert_int_lt(checksums_verify(&dir, &work), 0);
	put_file(dir.fd, CHECKSUMS_NAME, "", 0);
	ck_assert_int_lt(checksums_verify(&dir, &work), 0);
}
END_TEST

static int stop(void)
{
	return -EINTR;
}

START_TEST(writing_can_be_ended)
{
	const struct checksum_work stopped = { .stop = stop };

	ck_assert_int_eq(image_dir_begin(&dir), 0);
	put_file(dir.partial_fd, "pages-1.img", "", LARGE);
	ck_assert_int_eq(checksums_write(&dir, &stopped), -EINTR);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("checksums");
	TCase *tc = tcase_create("checksums");

	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(tc, make_directory, remove_directory);
	tcase_add_test(tc, a_good_set_is_good);
	tcase_add_test(tc, what_changed_is_found);
	tcase_add_test(tc, what_was_cut_or_is_gone_is_found);
	tcase_add_test(tc, a_newer_set_without_checksums_has_none);
	tcase_add_test(tc, a_set_that_failed_leaves_the_older_one);
	tcase_add_test(tc, pages_that_were_cut_out_do_not_count);
	tcase_add_test(tc, lists_of_strangers_are_refused);
	tcase_add_test(tc, writing_can_be_ended);
	return suite_run(s);
}
