/*
 * Which pages of the restored tree are as the images have them: those that were loaded from there. Others may be there,
 * too, such as the rest of a huge page: they are in no image, so they count as written.
 */
#include "track.h"

#include <stdlib.h>

#include "cleanup.h"
#include "plan.h"
#include "restore.h"

static void track_task(const struct restore_track *track, const struct plan_task *task, int uffd)
{
	const struct plan_pages *pages = &task->pages;
	int err = track->task(track->arg, task->pid, uffd);

	for (size_t i = 0; i < pages->n_reads; i++) {
		const struct restorer_read *r = &pages->reads[i];

		for (uint64_t p = 0; p < r->count && !err; p++)
			err = track->pages(track->arg, r->pages[p].addr, r->pages[p].addr + r->pages[p].len);
	}
}

void track_tree(struct plan *plan)
{
	struct restore_track *track = plan->track;

	for (size_t i = 0; track && i < plan->n_tasks; i++)
		if (plan->uffds[i] >= 0)
			track_task(track, &plan->tasks[i], take_fd(&plan->uffds[i]));
	if (track && plan->inventory->dump_criu_run_id)
		snprintf(track->images, sizeof(track->images), "%s", plan->inventory->dump_criu_run_id);
}
