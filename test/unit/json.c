/* The writer of JSON, and the files of --stats-json: what they hold is valid, whatever the strings are. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dump_stats.h"
#include "json.h"
#include "log.h"
#include "opts.h"
#include "stats_json.h"
#include "suite.h"

#define ck_assert_writes(statements, wanted)                                                                           \
	do {                                                                                                           \
		char *text = NULL;                                                                                     \
		size_t size;                                                                                           \
		struct json j = { .file = open_memstream(&text, &size), .one_line = true };                            \
                                                                                                                       \
		statements;                                                                                            \
		fclose(j.file);                                                                                        \
		ck_assert_str_eq(text, wanted);                                                                        \
		free(text);                                                                                            \
	} while (0)

START_TEST(blocks_nest)
{
	ck_assert_writes(
		{
			json_open(&j, NULL, '{');
			json_number(&j, "a", ~0ul);
			json_open(&j, "list", '[');
			json_bool(&j, NULL, true);
			json_open(&j, NULL, '{');
			json_close(&j, '}');
			json_close(&j, ']');
			json_close(&j, '}');
		},
		"{\"a\": 18446744073709551615, \"list\": [true, {}]}\n");
}
END_TEST

START_TEST(strings_are_escaped)
{
	ck_assert_writes(json_string(&j, NULL, "a\"b\\c\n\x7f"), "\"a\\\"b\\\\c\\u000a\\u007f\"");
	ck_assert_writes(json_string(&j, NULL, "\xc3\xa9\xf0\x9f\x90\x9f"), "\"\xc3\xa9\xf0\x9f\x90\x9f\"");
	/* cut, overlong, surrogate, too large, continuation without begin */
	ck_assert_writes(json_string(&j, NULL, "\xc3"), "\"\\ufffd\"");
	ck_assert_writes(json_string(&j, NULL, "\xc0\xaf"), "\"\\ufffd\\ufffd\"");
	ck_assert_writes(json_string(&j, NULL, "\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
	ck_assert_writes(json_string(&j, NULL, "\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
	ck_assert_writes(json_string(&j, NULL, "\x80z"), "\"\\ufffdz\"");
}
END_TEST

/* The text of a file, which is removed. */
static char *take_file(const char *path)
{
	char *text = calloc(1, 65536);
	int fd = open(path, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_gt(read(fd, text, 65535), 0);
	close(fd);
	unlink(path);
	return text;
}

static void check_stats(int err, const char *part)
{
	char dir[] = "/tmp/ckpt-json-XXXXXX", path[64];
	struct opts opts;
	struct dump_stats s = {};

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s.json", dir);
	opts_init(&opts);
	opts.work_dir = dir;
	opts.stats_json = "s.json";
	opts.action_name = "dump";
	phases_begin(&s.phases);
	phase_done(&s.phases, "first", 0);
	phase_done(&s.phases, "second", err);
	phase_done(&s.phases, "third", err);
	for (int i = 0; i < 5; i++) {
		dump_stats_add_round(&s, i, 0);
		dump_stats_add_task(&s, &(struct task_stats){ .pid = i + 1, .pages_written = 2 });
	}
	ck_assert_uint_eq(s.pages_written, 10);
	dump_stats_write_json(&s, &opts, err);
	dump_stats_free(&s);
	opts_free(&opts);
	char *text = take_file(path);
	ck_assert_ptr_nonnull(strstr(text, part));
	ck_assert_ptr_nonnull(strstr(text, "\"pid\": 5"));
	ck_assert_ptr_nonnull(strstr(text, "\"second\""));
	ck_assert_int_eq(!strstr(text, "\"third\""), err != 0);
	free(text);
	rmdir(dir);
}

START_TEST(stats_are_written)
{
	check_stats(0, "\"ok\": true");
}
END_TEST

START_TEST(stats_tell_of_a_failure)
{
	log_mute(true);
	check_stats(-EIO, "\"ok\": false");
	log_mute(false);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("json");
	TCase *tc = tcase_create("json");

	suite_add_tcase(s, tc);
	tcase_add_test(tc, blocks_nest);
	tcase_add_test(tc, strings_are_escaped);
	tcase_add_test(tc, stats_are_written);
	tcase_add_test(tc, stats_tell_of_a_failure);
	return suite_run(s);
}
