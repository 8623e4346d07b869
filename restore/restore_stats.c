/* Statistics of a restore: --stats-json. stats-restore is written by restore.c. */
#include "restore_stats.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "cleanup.h"
#include "opts.h"
#include "plan.h"
#include "stats_json.h"
#include "time_us.h"

static bool comes_late(const struct plan *plan, const struct restorer_read *r)
{
	return plan->opts->lazy_pages && r->lazy;
}

uint64_t pages_bytes(const struct plan *plan, const struct plan_pages *pages)
{
	uint64_t bytes = 0;

	for (size_t r = 0; r < pages->n_reads; r++)
		for (size_t p = 0; p < pages->reads[r].count && !comes_late(plan, &pages->reads[r]); p++)
			bytes += pages->reads[r].pages[p].len;
	return bytes;
}

/* Pages that stand in parents of incremental images. */
static uint64_t parent_bytes(const struct plan *plan, const struct plan_pages *pages)
{
	uint64_t bytes = 0;

	for (size_t r = 0; r < pages->n_reads; r++)
		for (size_t p = 0; p < pages->reads[r].count; p++)
			if (pages->files[pages->reads[r].file].depth && !comes_late(plan, &pages->reads[r]))
				bytes += pages->reads[r].pages[p].len;
	return bytes;
}

static uint64_t shared_bytes(const struct plan *plan)
{
	uint64_t bytes = 0;

	for (const struct plan_segment *s = plan->segments; s; s = s->next)
		bytes += pages_bytes(plan, &s->pages);
	return bytes;
}

/* What a process has read since it was born, as the kernel counts it: of tasks hardly anything but pages. */
static uint64_t bytes_read(pid_t pid)
{
	char path[32], text[256];
	unsigned long bytes = 0;

	snprintf(path, sizeof(path), "/proc/%d/io", pid);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	sscanf(text, "rchar: %lu", &bytes);
	return bytes;
}

void restore_progress_begin(struct plan *plan)
{
	if (!plan->progress.on)
		return;
	progress_phase(&plan->progress, "pages", 0);
	for (size_t i = 0; i < plan->n_tasks; i++)
		progress_more(&plan->progress, pages_bytes(plan, &plan->tasks[i].pages));
	progress_more(&plan->progress, shared_bytes(plan));
	plan->own_reads = bytes_read(getpid());
}

void restore_progress_look(struct plan *plan)
{
	struct progress *p = &plan->progress;
	uint64_t bytes = 0;

	if (!p->on || time_us() < p->next)
		return;
	bytes = bytes_read(getpid()) - plan->own_reads; /* we help */
	for (size_t i = 0; i < plan->n_tasks; i++)
		bytes += bytes_read(plan->tasks[i].pid);
	progress_set(p, bytes < p->total ? bytes : p->total);
	progress_look(p);
}

void restore_stats_json(const struct plan *plan, const struct phases *phases, int err)
{
	struct stats_json out;
	struct json *j = &out.json;

	if (!stats_json_begin(&out, plan->opts, phases, plan->n_tasks ? plan->tasks[0].pid : 0, err))
		return;
	json_open(j, "tasks", '[');
	for (size_t i = 0; i < plan->n_tasks; i++) {
		const struct plan_task *t = &plan->tasks[i];

		json_open(j, NULL, '{');
		json_number(j, "pid", t->pid);
		json_number(j, "threads", t->n_threads);
		json_number(j, "pages", pages_bytes(plan, &t->pages) / IMAGE_PAGE_SIZE);
		json_number(j, "pages_parent", parent_bytes(plan, &t->pages) / IMAGE_PAGE_SIZE);
		json_close(j, '}');
	}
	json_close(j, ']');
	json_number(j, "shared_pages", shared_bytes(plan) / IMAGE_PAGE_SIZE);
	stats_json_end(&out, plan->opts);
}
