/* The file of --stats-json. Its schema is in ckpt/README.md. */
#ifndef CKPT_STATS_JSON_H
#define CKPT_STATS_JSON_H

#include <sys/types.h>

#include "json.h"
#include "phases.h"

struct opts;

struct stats_json {
	struct json json;
	char *text; /* all that was written so far */
	size_t size;
};

/*
 * Begins the text with what all actions tell: pid is the root of the tree, err what came of it. Returns whether
 * --stats-json asks for one; then the caller adds the rest, and ends it.
 */
bool stats_json_begin(struct stats_json *s, const struct opts *opts, const struct phases *phases, pid_t pid, int err);
/* Writes the file in one go. What cannot be written is a warning: the tree has been dumped or restored. */
void stats_json_end(struct stats_json *s, const struct opts *opts);

#endif
