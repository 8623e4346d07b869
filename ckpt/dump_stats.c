/* Statistics of a dump, see dump_stats.h. */
#include "dump_stats.h"

#include <stdio.h>
#include <stdlib.h>

#include "image.h"
#include "opts.h"
#include "stats_json.h"

/* Room for one more in a list that doubles. Returns false without memory. */
static bool grow(void **list, size_t n, size_t size)
{
	if (n & (n - 1))
		return true;
	void *grown = realloc(*list, (n ? 2 * n : 1) * size);
	if (grown)
		*list = grown;
	return grown;
}

void dump_stats_add_round(struct dump_stats *s, uint64_t bytes, uint64_t us)
{
	if (grow((void **)&s->rounds, s->n_rounds, sizeof(*s->rounds)))
		s->rounds[s->n_rounds++] = (struct round_stats){ bytes, us };
}

void dump_stats_add_task(struct dump_stats *s, const struct task_stats *task)
{
	s->pages_scanned += task->pages_scanned;
	s->pages_written += task->pages_written;
	s->pages_parent += task->pages_parent;
	if (grow((void **)&s->tasks, s->n_tasks, sizeof(*s->tasks)))
		s->tasks[s->n_tasks++] = *task;
}

void dump_stats_free(struct dump_stats *s)
{
	free(s->rounds);
	free(s->tasks);
	*s = (struct dump_stats){};
}

void dump_stats_show(const struct dump_stats *s)
{
	printf("Displaying dump stats:\nFreezing time: %lu us\nFrozen time: %lu us\nMemory dump time: %lu us\n"
	       "Memory write time: %lu us\nMemory pages scanned: %lu (0x%lx)\nMemory pages written: %lu (0x%lx)\n",
	       s->freezing_time, s->frozen_time, s->memdump_time, s->memwrite_time, s->pages_scanned, s->pages_scanned,
	       s->pages_written + s->shpages_written, s->pages_written + s->shpages_written);
}

static void write_live_copy(struct json *j, const struct dump_stats *s)
{
	json_open(j, "live_copy", '{');
	json_number(j, "tracking_pause_us", s->tracking_pause);
	json_number(j, "pages_again", s->pages_again);
	json_open(j, "rounds", '[');
	for (size_t i = 0; i < s->n_rounds; i++) {
		json_open(j, NULL, '{');
		json_number(j, "bytes", s->rounds[i].bytes);
		json_number(j, "us", s->rounds[i].us);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_close(j, '}');
}

static void write_late_copy(struct json *j, const struct dump_stats *s)
{
	json_open(j, "late_copy", '{');
	json_number(j, "bytes", s->late_bytes);
	json_number(j, "us", s->late_bytes ? s->late_time : 0);
	json_close(j, '}');
}

static void write_memory(struct json *j, const struct dump_stats *s)
{
	json_open(j, "memory", '{');
	json_number(j, "us", s->memdump_time);
	json_number(j, "copy_us", s->memwrite_time);
	json_number(j, "pages_scanned", s->pages_scanned);
	json_number(j, "pages_written", s->pages_written);
	json_number(j, "pages_parent", s->pages_parent);
	json_number(j, "shared_pages_scanned", s->shpages_scanned);
	json_number(j, "shared_pages_written", s->shpages_written);
	json_number(j, "bytes_written", (s->pages_written + s->shpages_written) * IMAGE_PAGE_SIZE);
	json_close(j, '}');
}

void dump_stats_write_json(const struct dump_stats *s, const struct opts *opts, int err)
{
	struct stats_json out;
	struct json *j = &out.json;

	if (!stats_json_begin(&out, opts, &s->phases, opts->tree, err))
		return;
	json_number(j, "freezing_us", s->freezing_time);
	json_number(j, "frozen_us", s->frozen_time);
	write_live_copy(j, s);
	write_memory(j, s);
	write_late_copy(j, s);
	json_open(j, "tasks", '[');
	for (size_t i = 0; i < s->n_tasks; i++) {
		const struct task_stats *t = &s->tasks[i];

		json_open(j, NULL, '{');
		json_number(j, "pid", t->pid);
		json_number(j, "pages_scanned", t->pages_scanned);
		json_number(j, "pages_written", t->pages_written);
		json_number(j, "pages_parent", t->pages_parent);
		json_number(j, "us", t->us);
		json_close(j, '}');
	}
	json_close(j, ']');
	stats_json_end(&out, opts);
}
