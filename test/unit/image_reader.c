/* The image reader on good, cut, changed and hostile bytes of every kind of image. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fill.h"
#include "image.h"
#include "image_messages.h"
#include "log.h"
#include "suite.h"

#define MUTATIONS 400

static int count_item(void *arg, const struct image_item *item)
{
	if (!item->behind)
		++*(unsigned int *)arg;
	return 0;
}

/* Walks over the bytes. Returns what the reader says; *entries counts the entries. */
static int walk(enum image_kind kind, const uint8_t *bytes, size_t len, unsigned int *entries)
{
	_cleanup_image_ struct image_reader r = {};
	int err = image_open_bytes(&r, kind, bytes, len);

	*entries = 0;
	return err ?: image_walk(&r, count_item, entries);
}

START_TEST(good_images_are_read)
{
	struct image_writer w;
	unsigned int entries;

	fill_image(&w, _i);
	int err = walk(_i, w.buf, w.len, &entries);
	ck_assert_msg(!err, "%s: %s", image_info[_i].kind, log_first_error() ?: "?");
	static const unsigned int expected[] = {
		[IMAGE_ONE] = 1, [IMAGE_MANY] = FILL_REPEAT, [IMAGE_HEAD] = 1 + FILL_REPEAT, [IMAGE_RAW] = 0
	};
	ck_assert_uint_eq(entries, expected[image_info[_i].shape]);
	free(w.buf);
}
END_TEST

/* A cut image is broken, unless the cut is behind a whole entry: then it has fewer entries. */
START_TEST(cut_images_are_refused_or_shorter)
{
	struct image_writer w;
	unsigned int all, entries;

	fill_image(&w, _i);
	walk(_i, w.buf, w.len, &all);
	log_mute(true);
	for (size_t len = 0; len < w.len; len++) {
		/* Bytes of their own, so that the sanitizer sees the end. */
		uint8_t *bytes = malloc(len ?: 1);

		memcpy(bytes, w.buf, len);
		int err = walk(_i, bytes, len, &entries);
		free(bytes);
		if (image_info[_i].shape == IMAGE_RAW)
			continue;
		ck_assert_msg(err == 0 || err == -EBADMSG, "%s cut to %zu: %d", image_info[_i].kind, len, err);
		if (!err && _i != IMG_GHOST_FILE) /* ends behind any chunk */
			ck_assert_msg(image_info[_i].shape != IMAGE_ONE && entries < all, "%s cut to %zu is taken",
				      image_info[_i].kind, len);
	}
	log_mute(false);
	free(w.buf);
}
END_TEST

/* Changed bytes give another image or an error, never a crash. */
START_TEST(changed_images_are_read_or_refused)
{
	struct image_writer w;
	unsigned int entries, seed = 1 + _i;

	fill_image(&w, _i);
	log_mute(true);
	for (int n = 0; n < MUTATIONS && w.len > 8; n++) {
		uint8_t *bytes = malloc(w.len);

		memcpy(bytes, w.buf, w.len);
		for (int changes = 1 + rand_r(&seed) % 4; changes; changes--)
			bytes[8 + rand_r(&seed) % (w.len - 8)] = rand_r(&seed) % 3 ? rand_r(&seed) : 0xff;
		int err = walk(_i, bytes, w.len, &entries);
		ck_assert_msg(err == 0 || err == -EBADMSG, "%s: %d", image_info[_i].kind, err);
		free(bytes);
	}
	log_mute(false);
	free(w.buf);
}
END_TEST

START_TEST(another_magic_is_refused)
{
	struct image_writer w;
	unsigned int entries;

	if (image_info[_i].shape == IMAGE_RAW)
		return;
	fill_image(&w, _i);
	log_mute(true);
	for (size_t i = 0; i < (_i == IMG_INVENTORY ? 4 : 8); i++) {
		w.buf[i] ^= 1;
		ck_assert_int_eq(walk(_i, w.buf, w.len, &entries), -EBADMSG);
		w.buf[i] ^= 1;
	}
	log_mute(false);
	free(w.buf);
}
END_TEST

/* An AppArmor image of namespaces in namespaces, depth of them. Returns the bytes; the caller frees them. */
static uint8_t *nested_namespaces(unsigned int depth, size_t *len)
{
	size_t room = depth * 16 + 64, at = room;
	uint8_t *bytes = malloc(room);
	uint32_t inner = 0;

	for (unsigned int i = 0; i < depth; i++) {
		/* from the innermost out: required name, then the length and the field of what holds it */
		static const uint8_t name[] = { 0x0a, 1, 'n' };
		uint8_t head[8];
		size_t n = 0;

		at -= sizeof(name);
		memcpy(bytes + at, name, sizeof(name));
		inner += sizeof(name);
		head[n++] = i == depth - 1 ? 0x0a : 0x1a; /* namespaces: 1 of apparmor_entry, 3 of aa_namespace */
		for (uint32_t v = inner;; v >>= 7) {
			head[n++] = v > 0x7f ? (v & 0x7f) | 0x80 : v;
			if (v <= 0x7f)
				break;
		}
		at -= n;
		memcpy(bytes + at, head, n);
		inner += n;
	}
	uint32_t start[] = { IMAGE_COMMON_MAGIC, image_info[IMG_APPARMOR].magic, inner };
	at -= sizeof(start);
	memcpy(bytes + at, start, sizeof(start));
	*len = room - at;
	memmove(bytes, bytes + at, *len);
	return bytes;
}

START_TEST(nesting_is_bounded)
{
	static const struct {
		unsigned int depth;
		int err;
	} cases[] = { { 1, 0 }, { 60, 0 }, { 64, 0 }, { 65, -EBADMSG }, { 1000, -EBADMSG }, { 300000, -EBADMSG } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned int entries;
		size_t len;
		uint8_t *bytes = nested_namespaces(cases[i].depth, &len);

		log_forget_error();
		ck_assert_msg(walk(IMG_APPARMOR, bytes, len, &entries) == cases[i].err, "depth %u: %s", cases[i].depth,
			      log_first_error() ?: "no error");
		if (cases[i].err)
			ck_assert_ptr_nonnull(strstr(log_first_error(), "nested"));
		free(bytes);
	}
}
END_TEST

/* Lengths that overflow when something is added to them. */
START_TEST(huge_lengths_are_refused)
{
	static const uint32_t lengths[] = { 0x7fffffff, 0x80000000, 0xfffffffc, 0xfffffff8, 0xffffffff };
	unsigned int entries;

	log_mute(true);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		uint32_t image[] = { IMAGE_COMMON_MAGIC, image_info[IMG_PSTREE].magic, lengths[i], 0 };

		ck_assert_int_eq(walk(IMG_PSTREE, (uint8_t *)image, sizeof(image), &entries), -EBADMSG);

		PipeDataEntry pipe = PIPE_DATA_ENTRY__INIT;
		struct image_writer w;
		pipe.bytes = lengths[i];
		image_create(&w, NULL, IMG_PIPES_DATA, 0);
		image_put(&w, &pipe.base);
		ck_assert_int_eq(walk(IMG_PIPES_DATA, w.buf, w.len, &entries), -EBADMSG);
		free(w.buf);

		IpcShmEntry shm = IPC_SHM_ENTRY__INIT;
		IpcDescEntry desc = IPC_DESC_ENTRY__INIT;
		shm.desc = &desc;
		shm.size = UINT64_MAX - i;
		image_create(&w, NULL, IMG_IPCNS_SHM, 0);
		image_put(&w, &shm.base);
		ck_assert_int_eq(walk(IMG_IPCNS_SHM, w.buf, w.len, &entries), -EBADMSG);
		free(w.buf);
	}
	log_mute(false);
}
END_TEST

START_TEST(errors_name_file_entry_and_offset)
{
	struct image_writer w;
	unsigned int entries;

	fill_image(&w, IMG_PSTREE);
	log_forget_error();
	ck_assert_int_eq(walk(IMG_PSTREE, w.buf, w.len - 1, &entries), -EBADMSG);
	const char *error = log_first_error();
	char place[32];
	snprintf(place, sizeof(place), "byte %zu", 8 + (w.len - 8) / 2); /* where the second entry begins */
	ck_assert_msg(strstr(error, "pstree.img") && strstr(error, "entry 1") && strstr(error, place), "%s", error);
	free(w.buf);
}
END_TEST

/* A directory with one file of these bytes. */
static void make_file(char *dir, const char *name, const void *bytes, size_t len)
{
	char path[128];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), len);
	close(fd);
}

static void remove_file(const char *dir, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
	rmdir(dir);
}

START_TEST(kinds_are_found_by_magic_and_name)
{
	char dir[] = "/tmp/ckpt-unit-XXXXXX", name[64], path[128];
	_cleanup_image_ struct image_reader r = {};
	struct image_writer w;

	fill_image(&w, _i);
	image_name(name, sizeof(name), _i, 77);
	make_file(dir, name, w.buf ?: (uint8_t *)"", w.len);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int err = image_open_path(&r, AT_FDCWD, path);
	remove_file(dir, name);
	free(w.buf);
	ck_assert_int_eq(err, 0);
	if (_i == IMG_PAGES_OLD) /* has the name of PAGES */
		return;
	ck_assert_msg((int)r.kind == _i, "%s is taken for %s", image_info[_i].kind, image_info[r.kind].kind);
	ck_assert_uint_eq(r.id, strchr(image_info[_i].name, '%') ? 77 : 0);
}
END_TEST

START_TEST(other_files_are_refused)
{
	static const char *const names[] = { "dump.log", "pages-.img", "pages-1x.img", "pages-01.img", "pages--1.img" };

	log_mute(true);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char dir[] = "/tmp/ckpt-unit-XXXXXX", path[128];
		_cleanup_image_ struct image_reader r = {};

		make_file(dir, names[i], "hello, world", 12);
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		int err = image_open_path(&r, AT_FDCWD, path);
		remove_file(dir, names[i]);
		ck_assert_msg(err == -EBADMSG, "%s: %d", names[i], err);
	}
	log_mute(false);
}
END_TEST

START_TEST(one_means_one)
{
	char path[] = "/tmp/ckpt-unit-XXXXXX";
	ProtobufCMessage *message = NULL;
	struct image_dir dir;
	struct image_writer w;

	image_create(&w, NULL, IMG_FS, 5);
	fill_put(&w, &fs_entry__descriptor);
	fill_put(&w, &fs_entry__descriptor);
	make_file(path, "fs-5.img", w.buf, w.len);
	ck_assert_int_eq(image_dir_open(&dir, path), 0);
	ck_assert_int_eq(image_read_one(&dir, IMG_FS, 6, &message), -ENOENT);
	int err = image_read_one(&dir, IMG_FS, 5, &message);
	image_dir_close(&dir);
	remove_file(path, "fs-5.img");
	free(w.buf);
	ck_assert_int_eq(err, -EBADMSG);
	ck_assert_ptr_null(message);
}
END_TEST

/* Neither a FIFO, on which reading would wait, nor a directory. */
START_TEST(only_regular_files_are_read)
{
	char path[] = "/tmp/ckpt-unit-XXXXXX", fifo[64];
	struct image_reader r;
	struct image_dir dir;

	ck_assert_ptr_nonnull(mkdtemp(path));
	snprintf(fifo, sizeof(fifo), "%s/pstree.img", path);
	ck_assert_int_eq(mkfifo(fifo, 0600), 0);
	ck_assert_int_eq(image_dir_open(&dir, path), 0);
	int err = image_open(&r, &dir, IMG_PSTREE, 0);
	image_dir_close(&dir);
	remove_file(path, "pstree.img");
	ck_assert_int_eq(err, -EBADMSG);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("image_reader");
	TCase *tc = tcase_create("image_reader");

	log_init(AT_FDCWD, NULL, LOG_MSG);
	tcase_set_timeout(tc, 120);
	tcase_add_loop_test(tc, good_images_are_read, 0, IMG_KINDS);
	tcase_add_loop_test(tc, cut_images_are_refused_or_shorter, 0, IMG_KINDS);
	tcase_add_loop_test(tc, changed_images_are_read_or_refused, 0, IMG_KINDS);
	tcase_add_loop_test(tc, another_magic_is_refused, 0, IMG_KINDS);
	tcase_add_loop_test(tc, kinds_are_found_by_magic_and_name, 0, IMG_KINDS);
	tcase_add_test(tc, nesting_is_bounded);
	tcase_add_test(tc, huge_lengths_are_refused);
	tcase_add_test(tc, errors_name_file_entry_and_offset);
	tcase_add_test(tc, other_files_are_refused);
	tcase_add_test(tc, one_means_one);
	tcase_add_test(tc, only_regular_files_are_read);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
