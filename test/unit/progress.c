/* Progress: what is shown, when, and that it waits for nobody. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "opts.h"
#include "progress.h"
#include "suite.h"

static char text[65536];

/* Makes stderr a pipe while fn runs; text gets what was written, at most. */
static void with_pipe(struct progress *p, void (*fn)(struct progress *p))
{
	int ends[2], old = dup(STDERR_FILENO);

	ck_assert(!pipe2(ends, O_NONBLOCK | O_CLOEXEC));
	/* only our end must not wait: the other one is as who reads has made it */
	ck_assert(!fcntl(ends[1], F_SETFL, 0));
	dup2(ends[1], STDERR_FILENO);
	fn(p);
	dup2(old, STDERR_FILENO);
	close(old);
	close(ends[1]);
	ssize_t n = read(ends[0], text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	close(ends[0]);
}

static void show_once(struct progress *p)
{
	progress_phase(p, "live copy", 2);
	progress_more(p, 3 << 20);
	progress_add(p, 1 << 20);
	p->next = 0; /* it is time */
	progress_look(p);
	progress_look(p); /* not again */
	progress_end(p, -EIO);
}

static void show(enum progress_mode mode, int verbosity)
{
	struct progress p;
	struct opts opts;

	opts_init(&opts);
	opts.action_name = "dump";
	opts.progress = mode;
	opts.verbosity = verbosity;
	progress_begin(&p, &opts);
	with_pipe(&p, show_once);
	opts_free(&opts);
}

START_TEST(json_has_an_object_a_line)
{
	show(PROGRESS_JSON, 0);
	ck_assert_ptr_nonnull(strstr(text, "{\"action\": \"dump\", \"phase\": \"live copy\", \"us\": "));
	ck_assert_ptr_nonnull(
		strstr(text, "\"round\": 2, \"bytes\": 1048576, \"total\": 3145728, \"left\": 2097152, "));
	ck_assert_ptr_nonnull(strstr(text, "}\n{\"action\": \"dump\", \"phase\": \"end\", "));
	ck_assert_ptr_nonnull(strstr(text, "\"ok\": false}\n"));
}
END_TEST

START_TEST(text_has_lines_without_a_terminal)
{
	show(PROGRESS_TEXT, 2);
	ck_assert_int_eq(strncmp(text, "dump: live copy, round 2: 1.0 MiB of 3.0 MiB, ", 46), 0);
	ck_assert_ptr_eq(strchr(text, '\n'), text + strlen(text) - 1);
}
END_TEST

START_TEST(nothing_is_shown_unasked)
{
	show(PROGRESS_AUTO, 2);
	ck_assert_str_eq(text, "");
	show(PROGRESS_OFF, 2);
	ck_assert_str_eq(text, "");
}
END_TEST

static void show_often(struct progress *p)
{
	progress_phase(p, "pages", 0);
	for (int i = 0; i < 10000; i++) {
		p->next = 0;
		progress_look(p);
	}
}

START_TEST(a_full_pipe_is_not_waited_for)
{
	struct progress p;
	struct opts opts;

	opts_init(&opts);
	opts.progress = PROGRESS_JSON;
	progress_begin(&p, &opts);
	with_pipe(&p, show_often);
	opts_free(&opts);
	ck_assert_int_gt(strlen(text), 4096);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("progress");
	TCase *tc = tcase_create("progress");

	suite_add_tcase(s, tc);
	tcase_add_test(tc, json_has_an_object_a_line);
	tcase_add_test(tc, text_has_lines_without_a_terminal);
	tcase_add_test(tc, nothing_is_shown_unasked);
	tcase_add_test(tc, a_full_pipe_is_not_waited_for);
	return suite_run(s);
}
