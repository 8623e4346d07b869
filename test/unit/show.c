/* ckpt show: text and JSON of messages, unknown fields, payloads, directories. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../ckpt/show.h"
#include "fill.h"
#include "log.h"
#include "suite.h"

/* What fn prints; the caller frees it. */
static char *printed(bool json, void (*fn)(struct show_out *out, const void *arg), const void *arg)
{
	char *text = NULL;
	size_t len;
	struct show_out out = { .to.file = open_memstream(&text, &len), .json = json };

	fn(&out, arg);
	fclose(out.to.file);
	return text;
}

static void print_message(struct show_out *out, const void *message)
{
	out_object(out, out->json ? NULL : "m", out->json ? 0 : NO_INDEX);
	show_message(out, message);
	out_object_end(out);
}

static int shown; /* what the last show_* said */

static void print_image(struct show_out *out, const void *path)
{
	shown = show_image(out, path);
}

static void print_directory(struct show_out *out, const void *path)
{
	shown = show_directory(out, path);
}

/* A parser for JSON that only says whether it is. Returns what is behind the value, or NULL. */
static const char *skip_json(const char *s);

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \n");
}

static const char *skip_string(const char *s)
{
	if (*s != '"')
		return NULL;
	for (s++; *s != '"'; s++) {
		if ((unsigned char)*s < 0x20)
			return NULL;
		if (*s == '\\' && !strchr("\"\\/bfnrtu", *++s))
			return NULL;
	}
	return s + 1;
}

static const char *skip_members(const char *s, char end)
{
	s = skip_blanks(s);
	if (*s == end)
		return s + 1;
	for (;;) {
		if (end == '}') {
			s = skip_string(skip_blanks(s));
			if (!s || *s++ != ':')
				return NULL;
		}
		s = skip_json(s);
		if (!s)
			return NULL;
		s = skip_blanks(s);
		if (*s == end)
			return s + 1;
		if (*s++ != ',')
			return NULL;
	}
}

static const char *skip_json(const char *s)
{
	s = skip_blanks(s);
	switch (*s) {
	case '{':
		return skip_members(s + 1, '}');
	case '[':
		return skip_members(s + 1, ']');
	case '"':
		return skip_string(s);
	default:
		if (!strncmp(s, "true", 4))
			return s + 4;
		if (!strncmp(s, "false", 5))
			return s + 5;
		return strspn(s, "-0123456789") ? s + strspn(s, "-0123456789.e+") : NULL;
	}
}

static bool is_json(const char *text)
{
	const char *end = skip_json(text);

	return end && !*skip_blanks(end);
}

static void write_file(const char *path, const void *bytes, size_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), len);
	close(fd);
}

START_TEST(every_kind_is_shown)
{
	char dir[] = "/tmp/ckpt-unit-XXXXXX", name[64], path[128];
	struct image_writer w;

	fill_image(&w, _i);
	if (_i == IMG_PAGES_PACKED) { /* a seek table of no frames */
		w.len = 0;
		image_put_bytes(&w, "\x5e\x2a\x4d\x18\x09\0\0\0\0\0\0\0\0\xb1\xea\x92\x8f", 17);
	}
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/%s", dir, image_name(name, sizeof(name), _i, 3));
	write_file(path, w.buf ?: (uint8_t *)"", w.len);
	char *json = printed(true, print_image, path);
	ck_assert_int_eq(shown, 0);
	ck_assert_msg(is_json(json), "%s", json);
	free(json);
	char *text = printed(false, print_image, path);
	ck_assert_int_eq(shown, 0);
	ck_assert_ptr_nonnull(strstr(text, "magic: "));
	free(text);

	/* Broken at the end: an error, but still JSON, with what is good. */
	if (image_info[_i].shape != IMAGE_RAW || _i == IMG_PAGES_PACKED) {
		write_file(path, w.buf, w.len - 1);
		log_mute(true);
		json = printed(true, print_image, path);
		log_mute(false);
		ck_assert_int_eq(shown, -EBADMSG);
		ck_assert_msg(is_json(json) && strstr(json, "\"broken\": true"), "%s", json);
		free(json);
	}
	unlink(path);
	rmdir(dir);
	free(w.buf);
}
END_TEST

START_TEST(unknown_fields_are_shown)
{
	/* pstree_entry with pid..sid, then fields 1000 (varint 300), 1001 ("hi"), 1002 (fixed32), 1003 (fixed64) */
	static const uint8_t bytes[] = { 0x08, 1,    0x10, 2, 0x18, 3,	 0x20, 4,    0xc0, 0x3e, 0xac,
					 0x02, 0xca, 0x3e, 2, 'h',  'i', 0xd5, 0x3e, 1,	   0,	 0,
					 0,    0xd9, 0x3e, 1, 0,    0,	 0,    0,    0,	   0,	 0 };
	ProtobufCMessage *m = protobuf_c_message_unpack(&pstree_entry__descriptor, NULL, sizeof(bytes), bytes);

	ck_assert_ptr_nonnull(m);
	char *text = printed(false, print_message, m);
	ck_assert_ptr_nonnull(strstr(text, "field: 1000"));
	ck_assert_ptr_nonnull(strstr(text, "value: 300"));
	ck_assert_ptr_nonnull(strstr(text, "field: 1001"));
	ck_assert_ptr_nonnull(strstr(text, "68 69"));
	ck_assert_ptr_nonnull(strstr(text, "wire: 32bit"));
	ck_assert_ptr_nonnull(strstr(text, "wire: 64bit"));
	free(text);
	char *json = printed(true, print_message, m);
	ck_assert_msg(is_json(json) && strstr(json, "\"field\": 1003"), "%s", json);
	free(json);
	protobuf_c_message_free_unpacked(m, NULL);
}
END_TEST

START_TEST(absent_fields_are_not_shown)
{
	RegFileEntry reg = REG_FILE_ENTRY__INIT; /* mnt_id has a default */
	FownEntry fown = FOWN_ENTRY__INIT;

	reg.fown = &fown;
	reg.name = "x";
	char *text = printed(false, print_message, &reg);
	ck_assert_ptr_null(strstr(text, "mnt_id"));
	ck_assert_ptr_null(strstr(text, "build_id"));
	ck_assert_ptr_nonnull(strstr(text, "name: \"x\"\n"));
	free(text);
}
END_TEST

START_TEST(numbers_are_shown_as_people_read_them)
{
	VmaEntry area = VMA_ENTRY__INIT;
	FdinfoEntry fd = FDINFO_ENTRY__INIT;

	area.start = 0x7f0000001000;
	area.status = 0x201;
	area.fd = -1;
	char *text = printed(false, print_message, &area);
	ck_assert_ptr_nonnull(strstr(text, "start: 0x7f0000001000\n"));
	ck_assert_ptr_nonnull(strstr(text, "status: 0x201 REGULAR ANON_PRIVATE\n"));
	ck_assert_ptr_nonnull(strstr(text, "fd: -1\n"));
	free(text);
	char *json = printed(true, print_message, &area);
	ck_assert_ptr_nonnull(strstr(json, "\"start\": 139637976731648,"));
	free(json);

	fd.type = FD_TYPES__PIPE;
	text = printed(false, print_message, &fd);
	ck_assert_ptr_nonnull(strstr(text, "type: PIPE\n"));
	free(text);
	fd.type = 4711; /* no value of the enum */
	json = printed(true, print_message, &fd);
	ck_assert_msg(is_json(json) && strstr(json, "\"type\": 4711"), "%s", json);
	free(json);
}
END_TEST

/* Terminals obey control characters, and images are of strangers. */
START_TEST(strings_are_escaped)
{
	static const char *const strings[] = {
		"\033[2J", "\"\\\n\t", "\xff\xfe", "\xc0\xaf", "\xed\xa0\x80", "\xc2\x9b", "\xf0\x9f\x98\x80 \xc3\xa4",
		"\x7f",	   "\xe2\x82"
	};
	TaskCoreEntry tc = TASK_CORE_ENTRY__INIT;

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		tc.comm = (char *)strings[i];
		char *json = printed(true, print_message, &tc);
		ck_assert_msg(is_json(json), "%s", json);
		free(json);
		char *text = printed(false, print_message, &tc);
		for (const char *c = text; *c; c++)
			ck_assert_msg((unsigned char)*c >= 0x20 || *c == '\n', "\\x%02x in the text", *c);
		ck_assert_ptr_null(strchr(text, 0x7f));
		ck_assert(i == 6 || !strstr(text, strings[i]));
		free(text);
	}
}
END_TEST

START_TEST(a_directory_without_inventory_is_refused)
{
	char dir[] = "/tmp/ckpt-unit-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(dir));
	log_mute(true);
	free(printed(true, print_directory, dir));
	log_mute(false);
	rmdir(dir);
	ck_assert_int_eq(shown, -ENOENT);
}
END_TEST

/* Tasks that name each other as parents, a pagemap beyond the end of memory, files that nobody described. */
START_TEST(a_directory_of_nonsense_is_shown)
{
	static const enum image_kind kinds[] = { IMG_INVENTORY,	 IMG_PSTREE, IMG_CORE,
						 IMG_IDS,	 IMG_MM,     IMG_PAGEMAP,
						 IMG_FDINFO,	 IMG_FILES,  IMG_SHMEM_PAGEMAP,
						 IMG_MEMFD_INODE };
	char path[] = "/tmp/ckpt-unit-XXXXXX", command[64];
	struct image_dir dir;

	ck_assert_ptr_nonnull(mkdtemp(path));
	ck_assert_int_eq(image_dir_open(&dir, path), 0);
	ck_assert_int_eq(image_dir_begin(&dir), 0);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct image_writer w;

		fill_image(&w, kinds[i]);
		w.dir = &dir;
		w.id = FILL_NUMBER;
		ck_assert_int_eq(image_close(&w), 0);
	}
	ck_assert_int_eq(image_dir_commit(&dir), 0);
	char *json = printed(true, print_directory, path);
	ck_assert_int_eq(shown, 0);
	ck_assert_msg(is_json(json) && strstr(json, "\"tasks\"") && strstr(json, "\"memory\""), "%s", json);
	free(json);
	char *text = printed(false, print_directory, path);
	ck_assert_ptr_nonnull(strstr(text, "Processes: 2"));
	free(text);
	image_dir_close(&dir);
	snprintf(command, sizeof(command), "rm -r %s", path);
	ck_assert_int_eq(system(command), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("show");
	TCase *tc = tcase_create("show");

	log_init(AT_FDCWD, NULL, LOG_MSG);
	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, every_kind_is_shown, 0, IMG_KINDS);
	tcase_add_test(tc, unknown_fields_are_shown);
	tcase_add_test(tc, absent_fields_are_not_shown);
	tcase_add_test(tc, numbers_are_shown_as_people_read_them);
	tcase_add_test(tc, strings_are_escaped);
	tcase_add_test(tc, a_directory_without_inventory_is_refused);
	tcase_add_test(tc, a_directory_of_nonsense_is_shown);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
