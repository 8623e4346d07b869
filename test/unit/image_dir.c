/* A set of images gets its final names as a whole or not at all. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image.h"
#include "image_messages.h"
#include "log.h"
#include "suite.h"

static char path[64];
static struct image_dir dir;

static void make_directory(void)
{
	strcpy(path, "/tmp/ckpt-unit-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(image_dir_open(&dir, path), 0);
}

static void remove_directory(void)
{
	char command[128];

	image_dir_close(&dir);
	snprintf(command, sizeof(command), "rm -r %s", path);
	ck_assert_int_eq(system(command), 0);
}

static int count_entries(void)
{
	DIR *d = opendir(path);
	int n = 0;

	for (struct dirent *e; (e = readdir(d));)
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

static bool exists(const char *name)
{
	return !faccessat(dir.fd, name, F_OK, AT_SYMLINK_NOFOLLOW);
}

/* Writes one small set: inventory and fs-ID, whose umask is the value. */
static void write_set(unsigned long id, uint32_t value)
{
	InventoryEntry inventory = INVENTORY_ENTRY__INIT;
	FsEntry fs = FS_ENTRY__INIT;

	inventory.img_version = IMAGE_VERSION;
	inventory.has_root_cg_set = true;
	inventory.root_cg_set = value;
	fs.has_umask = true;
	fs.umask = value;
	ck_assert_int_eq(image_dir_begin(&dir), 0);
	ck_assert_int_eq(image_write_one(&dir, IMG_INVENTORY, 0, &inventory.base), 0);
	ck_assert_int_eq(image_write_one(&dir, IMG_FS, id, &fs.base), 0);
}

static uint32_t read_umask(unsigned long id)
{
	FsEntry *fs;

	ck_assert_int_eq(image_read_one(&dir, IMG_FS, id, (ProtobufCMessage **)&fs), 0);
	uint32_t umask = fs->umask;
	fs_entry__free_unpacked(fs, NULL);
	return umask;
}

static uint32_t read_inventory(void)
{
	InventoryEntry *inventory;

	ck_assert_int_eq(image_read_one(&dir, IMG_INVENTORY, 0, (ProtobufCMessage **)&inventory), 0);
	uint32_t value = inventory->root_cg_set;
	inventory_entry__free_unpacked(inventory, NULL);
	return value;
}

START_TEST(nothing_has_its_name_before_the_commit)
{
	write_set(1, 022);
	ck_assert(!exists("fs-1.img") && !exists("inventory.img"));
	ck_assert_int_eq(image_dir_commit(&dir), 0);
	ck_assert_uint_eq(read_umask(1), 022);
	ck_assert_int_eq(count_entries(), 2);
}
END_TEST

START_TEST(an_abort_leaves_nothing)
{
	write_set(1, 022);
	image_dir_abort(&dir);
	ck_assert_int_eq(count_entries(), 0);
}
END_TEST

START_TEST(closing_is_an_abort)
{
	write_set(1, 022);
	image_dir_close(&dir);
	ck_assert_int_eq(count_entries(), 0);
	ck_assert_int_eq(image_dir_open(&dir, path), 0);
}
END_TEST

START_TEST(leftovers_of_a_killed_dump_go)
{
	pid_t pid = fork();

	if (!pid) {
		write_set(7, 07);
		_exit(0); /* without commit, as after SIGKILL */
	}
	int status;
	waitpid(pid, &status, 0);
	ck_assert_int_eq(count_entries(), 1);
	ck_assert(!exists("fs-7.img"));
	write_set(1, 022);
	ck_assert_int_eq(image_dir_commit(&dir), 0);
	ck_assert(!exists("fs-7.img"));
	ck_assert_int_eq(count_entries(), 2);
}
END_TEST

START_TEST(a_second_set_replaces_the_first)
{
	write_set(1, 022);
	ck_assert_int_eq(image_dir_commit(&dir), 0);
	write_set(1, 077);
	ck_assert_uint_eq(read_umask(1), 022);
	ck_assert_int_eq(image_dir_commit(&dir), 0);
	ck_assert_uint_eq(read_umask(1), 077);
	ck_assert_uint_eq(read_inventory(), 077);
	ck_assert_int_eq(count_entries(), 2);
}
END_TEST

START_TEST(an_aborted_second_set_leaves_the_first)
{
	write_set(1, 022);
	ck_assert_int_eq(image_dir_commit(&dir), 0);
	write_set(1, 077);
	image_dir_abort(&dir);
	ck_assert_uint_eq(read_umask(1), 022);
	ck_assert_uint_eq(read_inventory(), 022);
	ck_assert_int_eq(count_entries(), 2);
}
END_TEST

/* A directory is in the way of fs-2.img: the images that were there before come back, inventory and all. */
START_TEST(a_failed_commit_is_undone)
{
	write_set(1, 022);
	ck_assert_int_eq(image_dir_commit(&dir), 0);
	ck_assert_int_eq(mkdirat(dir.fd, "fs-2.img", 0700), 0);
	write_set(1, 077);
	FsEntry fs = FS_ENTRY__INIT;
	ck_assert_int_eq(image_write_one(&dir, IMG_FS, 2, &fs.base), 0);
	ck_assert_int_eq(image_write_one(&dir, IMG_FS, 3, &fs.base), 0);
	log_mute(true);
	ck_assert_int_eq(image_dir_commit(&dir), -EISDIR);
	log_mute(false);
	image_dir_abort(&dir);
	ck_assert_uint_eq(read_umask(1), 022);
	ck_assert_uint_eq(read_inventory(), 022);
	ck_assert(!exists("fs-3.img"));
	ck_assert_int_eq(count_entries(), 3);
}
END_TEST

START_TEST(a_link_in_place_of_the_partial_directory_is_not_followed)
{
	char other[] = "/tmp/ckpt-unit-XXXXXX", file[64];

	ck_assert_ptr_nonnull(mkdtemp(other));
	snprintf(file, sizeof(file), "%s/precious", other);
	close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	ck_assert_int_eq(symlinkat(other, dir.fd, ".ckpt-partial"), 0);
	log_mute(true);
	ck_assert_int_lt(image_dir_begin(&dir), 0);
	log_mute(false);
	ck_assert_int_eq(access(file, F_OK), 0);
	unlink(file);
	rmdir(other);
}
END_TEST

START_TEST(write_errors_are_told)
{
	InventoryEntry inventory = INVENTORY_ENTRY__INIT;
	FsEntry fs = FS_ENTRY__INIT;

	ck_assert_int_eq(image_dir_begin(&dir), 0);
	ck_assert_int_eq(mkdirat(dir.partial_fd, "inventory.img", 0700), 0);
	ck_assert_int_lt(image_write_one(&dir, IMG_INVENTORY, 0, &inventory.base), 0);
	ck_assert_int_eq(image_write_one(&dir, IMG_FS, 1, &fs.base), 0);
	ck_assert_ptr_nonnull(strstr(log_first_error(), "inventory.img"));
	ck_assert_int_eq(unlinkat(dir.partial_fd, "inventory.img", AT_REMOVEDIR), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("image_dir");
	TCase *tc = tcase_create("image_dir");

	log_init(AT_FDCWD, NULL, LOG_MSG);
	tcase_add_checked_fixture(tc, make_directory, remove_directory);
	tcase_add_test(tc, nothing_has_its_name_before_the_commit);
	tcase_add_test(tc, an_abort_leaves_nothing);
	tcase_add_test(tc, closing_is_an_abort);
	tcase_add_test(tc, leftovers_of_a_killed_dump_go);
	tcase_add_test(tc, a_second_set_replaces_the_first);
	tcase_add_test(tc, an_aborted_second_set_leaves_the_first);
	tcase_add_test(tc, a_failed_commit_is_undone);
	tcase_add_test(tc, a_link_in_place_of_the_partial_directory_is_not_followed);
	tcase_add_test(tc, write_errors_are_told);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
