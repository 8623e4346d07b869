/*
 * Trees that must be refused: each line of the file "expect" of the program is a set of words, and the words of
 * the tool must have a line that holds all of them. And the other way round: explain says nothing against the rest.
 */
#include "runner.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Whether the line has the word, not as a part of a longer one. */
static bool has_word(const char *line, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = line; (at = strcasestr(at, word)); at++) {
		bool starts = at == line || !isalnum(at[-1]) || !isalnum(*word);

		if (starts && !isalnum(at[len]))
			return true;
	}
	return false;
}

static bool has_all(const char *line, const char *words)
{
	char *copy = strdup(words), *rest = copy, *word;
	bool all = true;

	while ((word = strsep(&rest, " ")))
		all = all && (!*word || has_word(line, word));
	free(copy);
	return all;
}

static bool said(const char *text, const char *words)
{
	char *copy = strdup(text), *rest = copy, *line;
	bool found = false;

	while (!found && (line = strsep(&rest, "\n")))
		found = has_all(line, words);
	free(copy);
	return found;
}

/* How many blockers of explain name the same place and kind ("task 5, fd 3: kind") as one before. */
static size_t count_repeated(struct run *r, const char *text)
{
	char *copy = strdup(text), *rest = copy, *line;
	struct lines seen = { 0 };
	size_t repeated = 0;

	while ((line = strsep(&rest, "\n"))) {
		char *colon = strncmp(line, "task ", 5) ? NULL : strstr(line, ": ");

		colon = colon ? strstr(colon + 2, ": ") : NULL;
		if (!colon)
			continue;
		*colon = 0;
		for (size_t i = 0; i < seen.n; i++) {
			if (strcmp(seen.line[i], line))
				continue;
			say(r, "    told twice: %s", line);
			repeated++;
		}
		add_line(&seen, "%s", line);
	}
	free_lines(&seen);
	free(copy);
	return repeated;
}

/* Everything that is expected was said. Ends the case if not. */
static void judge_words(struct run *r, const char *text, const char *action)
{
	char *expected = read_text("%s/expect", r->work), *rest = expected, *words;
	size_t missing = 0, expects = 0, remedies = 0;

	if (!expected)
		fail_case(r, "the program wrote no file \"expect\"");
	while ((words = strsep(&rest, "\n"))) {
		expects += *words != 0;
		if (!*words || said(text, words))
			continue;
		say(r, "    no line with: %s", words);
		missing++;
	}
	for (const char *at = text; (at = strcasestr(at, "remedy")); at++)
		remedies++;
	if (remedies < expects)
		say(r, "    %zu blockers, but %zu remedies", expects, remedies);
	if (missing || remedies < expects) {
		char *copy = strdup(text);
		int told = 0;

		for (char *line = strtok(copy, "\n"); line && told < 20; line = strtok(NULL, "\n"), told++)
			say(r, "    > %s", line);
		fail_case(r, "%s does not name everything", action);
	}
	free(expected);
}

static int explain(struct run *r, char **text)
{
	struct tool_call call = { .label = "explain" };
	char root[16];

	snprintf(root, sizeof(root), "%d", r->root);
	const struct program_traits *traits = r->program->traits;
	const char *argv[] = { settings.tool, "explain", root, traits->shell_job ? "--shell-job" : traits->option,
			       NULL };
	int status = tool_wait(r, &call, tool_start(r, &call, argv));
	*text = read_text("%s/explain.out", r->dir);
	return status;
}

void way_refuse(struct run *r)
{
	struct lines before = { 0 };
	struct tool_call call = { 0 };
	char *text, names[512];

	if (settings.is_criu)
		skip_case(r, "CRIU can dump some of these");
	start_program(r);
	snapshot(r, &before);
	if (explain(r, &text) == 0)
		fail_case(r, "explain ended with 0");
	judge_words(r, text, "explain");
	if (count_repeated(r, text))
		fail_case(r, "explain says things twice");
	expect_same(r, &before, "after explain");

	if (dump(r, &call, false) == 0)
		fail_case(r, "the dump ended with 0");
	char *log = read_text("%s/dump-%u.log", r->dir, r->dumps), *out = read_text("%s/dump-%u.out", r->dir, r->dumps);
	if (asprintf(&text, "%s%s", log ? log : "", out ? out : "") < 0)
		abort();
	judge_words(r, text, "the dump");
	expect_same(r, &before, "after the refused dump");
	if (images_left(r, false, names, sizeof(names)))
		fail_case(r, "left by the refused dump:%s", names);
	finish_program(r);
}

void way_explain(struct run *r)
{
	struct lines before = { 0 };
	char *text;

	if (settings.is_criu)
		skip_case(r, "CRIU has no explain");
	start_program(r);
	snapshot(r, &before);
	int status = explain(r, &text);
	if (status) {
		for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
			say(r, "    %s", line);
		fail_case(r, "explain ended with %d", status);
	}
	if (!r->program->traits->busy)
		expect_same(r, &before, "after explain");
	finish_program(r);
}
