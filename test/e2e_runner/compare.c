/* Two pictures of a tree: which lines does only one of them have? */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

#define TOLD_LINES 24
#define SAME_TIMEOUT 3 /* seconds; for what a killed tool undoes from inside the tree */

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char **sorted(const struct lines *lines)
{
	char **copy = malloc((lines->n + 1) * sizeof(*copy));

	memcpy(copy, lines->line, lines->n * sizeof(*copy));
	qsort(copy, lines->n, sizeof(*copy), compare_lines);
	return copy;
}

size_t compare(struct run *r, const struct lines *before, const struct lines *after, bool tell)
{
	char **x = sorted(before), **y = sorted(after);
	size_t i = 0, j = 0, different = 0;

	while (i < before->n || j < after->n) {
		int order = i == before->n ? 1 : j == after->n ? -1 : strcmp(x[i], y[j]);

		if (order && different++ < TOLD_LINES && tell)
			say(r, "    %s %s", order < 0 ? "-" : "+", order < 0 ? x[i] : y[j]);
		i += order <= 0;
		j += order >= 0;
	}
	free(x);
	free(y);
	return different;
}

/* A program that changes all the time can only be seen to go on; whether it does so right, it tells in the end. */
static bool goes_on(struct run *r, const char *when)
{
	sleep_ms(10);
	reap(r);
	if (r->root_ended)
		say(r, "%s: the program has ended (wait status %#x)", when, r->root_status);
	else if (strchr("tT", process_state(r->root)))
		say(r, "%s: the program was left stopped", when);
	else
		return true;
	return false;
}

bool is_same(struct run *r, const struct lines *before, const char *when)
{
	double end = now() + SAME_TIMEOUT;

	if (r->program->traits->busy)
		return goes_on(r, when);

	for (;;) {
		struct lines after = { 0 };
		bool last = now() > end;

		reap(r);
		if (r->root_ended) {
			say(r, "%s: the program has ended (wait status %#x)", when, r->root_status);
			return false;
		}
		snapshot(r, &after);
		size_t different = compare(r, before, &after, last);
		free_lines(&after);
		if (!different)
			return true;
		if (last) {
			say(r, "%s: %zu lines of /proc differ (- before, + after)", when, different);
			return false;
		}
		sleep_ms(20);
	}
}

void expect_same(struct run *r, const struct lines *before, const char *when)
{
	if (is_same(r, before, when))
		return;
	if (r->root_ended)
		check_program(r); /* says why, and ends the case */
	fail_case(r, "the tree is not as it was");
}
