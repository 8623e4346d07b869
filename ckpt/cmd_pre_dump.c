/*
 * ckpt pre-dump: writes the memory of a tree while it runs, as the first link of a chain of image sets or the next one.
 * The tree is stopped for a moment, to find its tasks and to track those that are new. What a task writes while it is
 * copied is in the next set again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "cleanup.h"
#include "cmd.h"
#include "dump.h"
#include "fault.h"
#include "log.h"
#include "opts.h"
#include "page_copy.h"
#include "page_xfer.h"
#include "pagemap.h"
#include "time_us.h"

/* The pages of one task. */
struct live_pages {
	struct run_list list, missed;
	bool looked;
};

static bool is_new(const struct dump_task *t)
{
	return task_may_be_tracked(t) && !chain_tracker(t->dump, t);
}

/* Trackers of tasks that are not in the tree any more. */
static void drop_gone(struct dump *d)
{
	struct chain *c = d->chain;
	size_t kept = 0;

	for (size_t i = 0; i < c->n; i++) {
		const struct dump_task *t = dump_task_by_pid(d, c->trackers[i].pid);

		if (t && t->state != TASK_DEAD && chain_tracker(d, t) == &c->trackers[i])
			c->trackers[kept++] = c->trackers[i];
		else
			tracker_close(&c->trackers[i], true);
	}
	c->n = kept;
}

/*
 * Arms the task and finds what belongs into its image. Whoever has only soft-dirty bits finds first: the task stands
 * still then.
 */
static int look(struct dump *d, struct tracker *tr, struct live_pages *p)
{
	struct page_scan scan = { .pid = tr->pid, .pagemap = tr->pagemap, .vmas = &tr->vmas, .tracked = true };
	bool find_first = tracking_by_soft_dirty();
	struct run_list written = {};
	int err = tracker_look(tr);

	if (!err && find_first)
		err = pages_find(&scan, &p->list);
	/* From here on the keeper's knowledge is gone unless this set is complete. */
	memcpy(d->chain->last, d->id, sizeof(d->id));
	if (!err)
		err = tracker_arm(tr, &written);
	if (!err && !find_first)
		err = pages_find(&scan, &p->list);
	if (!err)
		err = runs_mark(&p->list, &written);
	free(written.r);
	runs_refer(&p->list, d->chain->usable);
	p->looked = true;
	return err;
}

/* Makes room for the pages of all tasks; with soft-dirty bits, it is now that it looks for them. */
static int prepare(struct dump *d, struct live_pages **pages)
{
	int err = 0;

	*pages = calloc(d->chain->n + 1, sizeof(**pages));
	if (!*pages)
		return log_errno(ENOMEM, "pre-dump");
	for (size_t i = 0; i < d->chain->n && tracking_by_soft_dirty() && !err; i++)
		err = look(d, &d->chain->trackers[i], &(*pages)[i]);
	return err;
}

/* Stops the tree, finds its tasks, tracks them, and lets it go on. */
static int begin(struct dump *d, struct live_pages **pages)
{
	int err = freeze_without_parasites(d);

	if (!err && d->n_blockers) {
		blockers_log(d);
		err = -ENOTSUP;
	}
	if (!err)
		drop_gone(d);
	if (!err)
		err = enter_some_tasks(d, is_new);
	if (!err && !d->n_blockers)
		err = chain_track(d);
	if (!err)
		err = prepare(d, pages);
	d->stats.frozen_time = d->stats.tracking_pause = time_us() - d->freeze_start;
	undo_to(&d->undo, 0);
	if (!err && !d->chain->n)
		err = log_errno(EOPNOTSUPP,
				"the memory of process %d cannot be tracked (that needs Linux 6.7 or soft-dirty bits, "
				"and no seccomp): dump it without pre-dump",
				d->opts->tree);
	return err ? err : fault_point(FAULT_dump_tracked);
}

static int write_task(struct dump *d, struct tracker *tr, struct live_pages *p)
{
	struct page_job job = { .pid = tr->pid, .mem = tr->mem, .out = -1, .list = &p->list, .missed = &p->missed };
	struct task_stats stats = { .pid = tr->pid };
	uint64_t start = time_us();
	uint32_t id = d->next_pages_id++;
	int err = p->looked ? 0 : look(d, tr, p);

	if (!err)
		err = pagemap_write(d, IMG_PAGEMAP, tr->pid, id, &p->list);
	if (!err) {
		job.out = image_create_raw(&d->images, IMG_PAGES, id);
		err = job.out < 0 ? job.out : pages_copy(&job, 1, &d->progress);
	}
	if (job.out >= 0)
		close(job.out);
	runs_count(&p->list, &stats);
	stats.us = time_us() - start;
	dump_stats_add_task(&d->stats, &stats);
	if (err == -ESRCH) { /* it has ended: the next set will not have it */
		log_info("task %d ended", tr->pid);
		return 0;
	}
	return err;
}

static int write_memory(struct dump *d, struct live_pages *pages)
{
	uint64_t start = time_us();
	int err = 0;

	progress_phase(&d->progress, "pages", 0);
	for (size_t i = 0; i < d->chain->n && !err; i++)
		err = write_task(d, &d->chain->trackers[i], &pages[i]);
	d->stats.memdump_time = d->stats.memwrite_time = time_us() - start;
	return err ? err : fault_point(FAULT_dump_precopied);
}

static int copy(struct dump *d)
{
	struct live_pages *pages = NULL;
	int err = begin(d, &pages);

	phase_done(&d->stats.phases, "track", err);
	if (!err)
		err = write_memory(d, pages);
	chain_check(d->chain);
	for (size_t i = 0; pages && i < d->chain->n; i++) {
		free(pages[i].list.r);
		free(pages[i].missed.r);
	}
	free(pages);
	return err;
}

static int pre_dump(struct dump *d, struct page_xfer *xfer)
{
	int err = image_dir_begin(&d->images);

	if (!err)
		err = chain_begin(d);
	phase_done(&d->stats.phases, "prepare", err);
	if (!err)
		err = copy(d);
	if (!err)
		err = chain_link(d);
	if (!err)
		err = inventory_write(d);
	if (!err)
		err = interrupted();
	phase_done(&d->stats.phases, "write", err);
	return dump_finish_images(d, xfer, err);
}

int cmd_pre_dump(const struct opts *opts)
{
	struct dump d = { .opts = opts, .images.fd = -1, .images.partial_fd = -1, .next_pages_id = 1 };
	struct page_xfer xfer = { -1, &d.progress };

	phases_begin(&d.stats.phases);
	progress_begin(&d.progress, opts);
	dump_begin();
	chain_new_id(d.id);
	int err = image_dir_open(&d.images, opts->images_dir);
	if (!err)
		err = chain_link_early(&d);
	if (!err)
		err = page_xfer_begin(&xfer, opts);
	if (!err)
		err = pre_dump(&d, &xfer);
	page_xfer_close(&xfer);
	progress_end(&d.progress, err);
	dump_say_why(&d, err);
	chain_unlink(&d);
	dump_free(&d);
	image_dir_close(&d.images);
	if (!err && opts->display_stats)
		dump_stats_show(&d.stats);
	if (!err)
		log_info("wrote %lu pages of process %d ahead", d.stats.pages_written, opts->tree);
	dump_stats_write_json(&d.stats, opts, err);
	dump_stats_free(&d.stats);
	return err ? 1 : 0;
}
