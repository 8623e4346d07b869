/* Statistics of a restore: --stats-json. stats-restore is written by restore.c. */
#include "restore_stats.h"

#include "plan.h"
#include "stats_json.h"

uint64_t pages_bytes(const struct plan_pages *pages)
{
	uint64_t bytes = 0;

	for (size_t r = 0; r < pages->n_reads; r++)
		for (size_t p = 0; p < pages->reads[r].count; p++)
			bytes += pages->reads[r].pages[p].len;
	return bytes;
}

/* Pages that stand in parents of incremental images. */
static uint64_t parent_bytes(const struct plan_pages *pages)
{
	uint64_t bytes = 0;

	for (size_t r = 0; r < pages->n_reads; r++)
		for (size_t p = 0; p < pages->reads[r].count; p++)
			if (pages->files[pages->reads[r].file].depth)
				bytes += pages->reads[r].pages[p].len;
	return bytes;
}

void restore_stats_json(const struct plan *plan, const struct phases *phases, int err)
{
	struct stats_json out;
	struct json *j = &out.json;
	uint64_t shared = 0;

	if (!stats_json_begin(&out, plan->opts, phases, plan->n_tasks ? plan->tasks[0].pid : 0, err))
		return;
	json_open(j, "tasks", '[');
	for (size_t i = 0; i < plan->n_tasks; i++) {
		const struct plan_task *t = &plan->tasks[i];

		json_open(j, NULL, '{');
		json_number(j, "pid", t->pid);
		json_number(j, "threads", t->n_threads);
		json_number(j, "pages", pages_bytes(&t->pages) / IMAGE_PAGE_SIZE);
		json_number(j, "pages_parent", parent_bytes(&t->pages) / IMAGE_PAGE_SIZE);
		json_close(j, '}');
	}
	json_close(j, ']');
	for (const struct plan_segment *s = plan->segments; s; s = s->next)
		shared += pages_bytes(&s->pages);
	json_number(j, "shared_pages", shared / IMAGE_PAGE_SIZE);
	stats_json_end(&out, plan->opts);
}
