/*
 * Checksums: `verify` says that images are good as they were written, and that they are not when a bit has changed or a
 * byte is missing, in any of them; then nothing is restored from them, either.
 */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int verify(struct run *r, const char *label)
{
	char log[80];
	struct tool_call call = { .label = label };

	snprintf(log, sizeof(log), "../%s.log", label);
	const char *argv[] = { settings.tool, "verify", image_dir(r), "-o", log, "-v4", NULL };
	return tool_wait(r, &call, tool_start(r, &call, argv));
}

void verify_ok(struct run *r)
{
	char path[PATH_MAX];

	if (settings.is_criu || !verify(r, "verify"))
		return;
	snprintf(path, sizeof(path), "%s/verify.out", r->dir);
	say_file(r, path, 5);
	fail_case(r, "verify finds fault with the images of dump %u", r->dumps);
}

/* Turns a bit in the middle of a file, or back again. */
static void turn_bit(struct run *r, const char *path, off_t size)
{
	int fd = open(path, O_RDWR);
	char byte;

	if (fd < 0 || pread(fd, &byte, 1, size / 2) != 1)
		fail_case(r, "can't change %s: %s", path, strerror(errno));
	byte ^= 0x10;
	if (pwrite(fd, &byte, 1, size / 2) != 1)
		fail_case(r, "can't change %s: %s", path, strerror(errno));
	close(fd);
}

/* Cuts a byte off the end of a file. Returns it. */
static char cut_byte(struct run *r, const char *path, off_t size)
{
	int fd = open(path, O_RDWR);
	char byte;

	if (fd < 0 || pread(fd, &byte, 1, size - 1) != 1 || ftruncate(fd, size - 1))
		fail_case(r, "can't cut %s: %s", path, strerror(errno));
	close(fd);
	return byte;
}

static void put_byte(struct run *r, const char *path, off_t size, char byte)
{
	int fd = open(path, O_RDWR);

	if (fd < 0 || pwrite(fd, &byte, 1, size - 1) != 1)
		fail_case(r, "can't mend %s: %s", path, strerror(errno));
	close(fd);
}

static void expect_bad(struct run *r, const char *path, const char *what, bool restore_too)
{
	struct tool_call call = { 0 };

	if (!verify(r, "verify-bad"))
		fail_case(r, "verify says that all is well, but %s was %s", path, what);
	if (!restore_too)
		return;
	if (!restore(r, &call))
		fail_case(r, "the images were restored, but %s was %s", path, what);
	for (size_t i = 0; i < r->n_pids; i++)
		if (process_exists(r->pids[i]))
			fail_case(r, "process %d is there although %s was %s", r->pids[i], path, what);
}

/* Damages each image of a directory in turn. parent: only what a set takes from its parents counts. */
static void damage_all(struct run *r, const char *images, bool parent)
{
	DIR *dir = opendir(images);
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		size_t len = strlen(d->d_name);
		bool pages = !strncmp(d->d_name, "pages", 5) || !strncmp(d->d_name, "pagemap", 7);
		char path[PATH_MAX];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", images, d->d_name);
		if (len < 4 || strcmp(d->d_name + len - 4, ".img") || stat(path, &st) || !st.st_size ||
		    (parent && !pages))
			continue;
		turn_bit(r, path, st.st_size);
		expect_bad(r, path, "changed", pages);
		turn_bit(r, path, st.st_size);
		char byte = cut_byte(r, path, st.st_size);
		expect_bad(r, path, "cut", false);
		put_byte(r, path, st.st_size, byte);
	}
	if (dir)
		closedir(dir);
}

static void dump_with_sums(struct run *r, bool leave_running)
{
	struct tool_call call = { .extra = { "--checksum", "--progress=json", "--stats-json=stats.json" } };

	remember_pids(r);
	if (dump(r, &call, leave_running))
		fail_case(r, "dump %u failed", r->dumps);
	verify_ok(r);
}

static void dump_packed(struct run *r, const char *how, bool leave_running)
{
	struct tool_call call = { .extra = { how } };

	remember_pids(r);
	if (dump(r, &call, leave_running))
		fail_case(r, "dump %u failed", r->dumps);
	verify_ok(r);
}

/* Compressed pages in a chain, of both kinds; without checksums of ours, damage is found by theirs. */
void way_compress(struct run *r)
{
	struct lines before = { 0 };
	char parent[PATH_MAX], path[PATH_MAX];
	struct stat st;

	start_program(r);
	if (!r->program->traits->busy)
		snapshot(r, &before);
	r->chain_begin = 1;
	r->pre_dump = true;
	dump_packed(r, "--compress=lz4", true);
	r->pre_dump = false;
	dump_packed(r, "--compress=zstd", true);
	snprintf(parent, sizeof(parent), "%s", image_dir(r));
	dump_packed(r, "--compress=lz4", false);
	if (wait_gone(r, 20))
		fail_case(r, "processes are still there after the dump");
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/pages-packed-1.img", i ? parent : image_dir(r));
		if (stat(path, &st))
			fail_case(r, "there is no %s", path);
		char byte = cut_byte(r, path, st.st_size);
		r->dumps -= i; /* the parent by itself: nothing of it may be needed by the last set */
		expect_bad(r, path, "cut", !i);
		r->dumps += i;
		put_byte(r, path, st.st_size, byte);
	}
	/* A changed bit may lead to the same pages: test/unit/packed.c changes what does not. */
	restore_ok(r, NULL);
	if (!r->program->traits->busy)
		expect_same(r, &before, "after the restore");
	finish_program(r);
}

void way_verify(struct run *r)
{
	struct tool_call call = { .extra = { "--progress=json", "--stats-json=stats-restore.json" } };
	struct lines before = { 0 };
	char parent[PATH_MAX];

	start_program(r);
	if (!r->program->traits->busy)
		snapshot(r, &before);
	r->chain_begin = 1;
	r->pre_dump = true;
	dump_with_sums(r, true);
	r->pre_dump = false;
	dump_with_sums(r, true);
	snprintf(parent, sizeof(parent), "%s", image_dir(r));
	dump_with_sums(r, false);
	if (wait_gone(r, 20))
		fail_case(r, "processes are still there after the dump");
	damage_all(r, image_dir(r), false);
	damage_all(r, parent, true);
	verify_ok(r);
	if (restore(r, &call))
		fail_case(r, "the images were not restored, although they were mended");
	if (!r->program->traits->busy)
		expect_same(r, &before, "after the restore");
	finish_program(r);
}
