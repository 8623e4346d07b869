/*
 * Private pages of all tasks: pagemap-PID.img and pages-N.img. What a live copy (precopy.c) wrote already stays; the
 * rest is copied while the tree stands still, or, when it runs on, from snapshots of large tasks.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chain.h"
#include "cleanup.h"
#include "compat.h"
#include "dump.h"
#include "early_areas.h"
#include "fault.h"
#include "log.h"
#include "opts.h"
#include "page_copy.h"
#include "pagemap.h"
#include "precopy.h"
#include "snapshot.h"
#include "time_us.h"
#include "vdso_elf.h"

#define TASKS_AT_ONCE 64 /* each holds some descriptors */
#define SNAPSHOTS 64 /* likewise */

/* What is written of one task. */
struct task_pages {
	struct dump_task *t;
	struct run_list list;
	int out; /* pages-N.img, or -1 */
	uint64_t us;
};

/* What is copied when the tree runs again. */
struct late_pages {
	struct late_task {
		pid_t pid;
		struct snapshot snapshot;
		struct run_list list;
		int out;
		struct late_task *next;
	} * first;
	uint64_t taken; /* bytes that all snapshots may need */
	bool copying; /* from them, when the tree runs on; else they only confirm areas */
	size_t n;
};

static int find_pages(struct dump_task *t, bool tracked, struct run_list *list)
{
	_cleanup_close_ int pagemap = openat(t->proc, "pagemap", O_RDONLY | O_CLOEXEC);
	const struct page_scan scan = {
		.pid = t->pid, .pagemap = pagemap, .vmas = &t->vmas, .tracked = tracked, .guards = &t->guards
	};

	return pagemap < 0 ? log_errno(errno, "can't open the pagemap of task %d", t->pid) : pages_find(&scan, list);
}

/* Finds the pages of a task, writes its pagemap and makes room for the pages. */
static int begin_task(struct task_pages *p)
{
	struct dump *d = p->t->dump;
	struct draft *draft = precopy_draft(d, p->t);
	bool chained = chain_tracker(d, p->t);
	uint32_t id = draft ? draft->pages_id : d->next_pages_id++;

	int err = find_pages(p->t, draft || chained, &p->list);
	if (chained)
		runs_refer(&p->list, d->chain->usable && !has_held_buffers(d));
	if (!err)
		err = pagemap_write(d, IMG_PAGEMAP, p->t->pid, id, &p->list);
	if (err)
		return err;
	if (d->opts->lazy_pages)
		runs_drop_lazy(&p->list);
	if (draft)
		return draft_finish(d, draft, &p->list, &p->out);
	p->out = image_create_raw(&d->images, IMG_PAGES, id);
	return p->out < 0 ? p->out : 0;
}

/* A vDSO that another tool has marked goes into the image as the kernel made it: that is what a restore maps. */
static int unmark_vdso(const struct task_pages *p)
{
	const struct vma_list *vmas = &p->t->vmas;
	uint8_t head[VDSO_MARK];
	size_t area = 0;
	off_t at = 0;

	if (regs_compat(&p->t->threads[0].remote.regs)) /* none is known */
		return 0;
	for (size_t i = 0; i < p->list.n; i++) {
		const struct run *r = &p->list.r[i];

		while (area < vmas->n && vmas->v[area].end <= r->start)
			area++;
		if (area < vmas->n && !strcmp(vmas->v[area].name, "[vdso]") &&
		    (pread(p->out, head, sizeof(head), at) != sizeof(head) ||
		     (vdso_unmark(head) && pwrite(p->out, head, sizeof(head), at) != sizeof(head))))
			return log_errno(errno ?: EIO, "can't put the vDSO of task %d into the image", p->t->pid);
		at += r->parent ? 0 : r->end - r->start;
	}
	return 0;
}

/* Pages that were not looked at singly count as scanned, too. */
static void count_pages(struct dump *d, const struct task_pages *p)
{
	struct task_stats stats = { .pid = p->t->pid, .us = p->us };
	const struct draft *draft = precopy_draft(d, p->t);

	runs_count(&p->list, &stats);
	stats.pages_scanned = 0;
	for (size_t i = 0; i < p->t->vmas.n; i++)
		if (memory_is_private(&p->t->vmas.v[i]))
			stats.pages_scanned += (p->t->vmas.v[i].end - p->t->vmas.v[i].start) / IMAGE_PAGE_SIZE;
	d->stats.pages_again += draft ? draft->again / IMAGE_PAGE_SIZE : 0;
	dump_stats_add_task(&d->stats, &stats);
}

static void free_late(struct late_task *l)
{
	snapshot_drop(&l->snapshot);
	free(l->list.r);
	if (l->out >= 0)
		close(l->out);
}

/* Makes a snapshot if it is of use, and leaves to it what it can have. Returns 0 or -errno (logged). */
static int leave_to_snapshot(struct late_pages *late, struct task_pages *p)
{
	struct late_task l = { .pid = p->t->pid, .snapshot.mem = -1, .out = -1 }, *kept;

	if (late->n == SNAPSHOTS)
		return 0;
	int made = snapshot_make(p->t, late->taken, &p->list, late->copying ? &l.list : NULL, &l.snapshot);
	if (made <= 0)
		return made;
	l.out = fcntl(p->out, F_DUPFD_CLOEXEC, 0);
	l.next = late->first;
	kept = malloc(sizeof(*kept));
	if (!kept || l.out < 0) {
		free(kept);
		free_late(&l);
		return log_errno(ENOMEM, "pages of task %d", p->t->pid);
	}
	*kept = l;
	late->first = kept;
	late->taken += l.snapshot.bytes;
	late->n++;
	return 0;
}

static int write_tasks(struct dump *d, struct task_pages *tasks, size_t n)
{
	struct page_job jobs[TASKS_AT_ONCE];
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		uint64_t begin = time_us();

		err = begin_task(&tasks[i]);
		if (!err)
			err = leave_to_snapshot(d->late_pages, &tasks[i]);
		tasks[i].us = time_us() - begin;
		jobs[i] = (struct page_job){ .pid = tasks[i].t->pid,
					     .mem = tasks[i].t->parasite.mem,
					     .out = tasks[i].out,
					     .list = &tasks[i].list,
					     .us = &tasks[i].us };
	}
	uint64_t start = time_us();
	if (!err)
		err = pages_copy(jobs, n, &d->progress);
	d->stats.memwrite_time += time_us() - start;
	for (size_t i = 0; i < n && !err; i++) {
		err = unmark_vdso(&tasks[i]);
		count_pages(d, &tasks[i]);
	}
	return err;
}

int pages_write(struct dump *d)
{
	struct task_pages tasks[TASKS_AT_ONCE];
	uint64_t start = time_us();
	int err = 0;

	progress_phase(&d->progress, "pages", 0);
	d->late_pages = calloc(1, sizeof(*d->late_pages));
	if (!d->late_pages)
		return log_errno(ENOMEM, "pages");
	d->late_pages->copying = snapshots_possible(d);
	for (size_t next = 0; next < d->n_tasks && !err;) {
		size_t n = 0;

		for (; next < d->n_tasks && n < TASKS_AT_ONCE; next++)
			if (d->tasks[next]->state != TASK_DEAD)
				tasks[n++] = (struct task_pages){ .t = d->tasks[next], .out = -1 };
		err = write_tasks(d, tasks, n);
		for (size_t i = 0; i < n; i++) {
			free(tasks[i].list.r);
			if (tasks[i].out >= 0)
				close(tasks[i].out);
		}
	}
	d->stats.memdump_time += time_us() - start;
	return err ? err : fault_point(FAULT_dump_snapshots_made);
}

/* Copies what was left to a snapshot, which is no use, from the task, while that still stands. */
static int copy_now(struct dump_task *t, struct late_task *l)
{
	const struct page_job job = { .pid = t->pid, .mem = t->parasite.mem, .out = l->out, .list = &l->list };
	int err = pages_copy(&job, 1, &t->dump->progress);

	runs_mark_all(&l->list);
	return err;
}

/* The areas of a task have other flags than was thought: learns them. Only in these do they differ. */
static int correct_areas(struct dump_task *t, struct late_task *l)
{
	struct dump *d = t->dump;

	log_info("task %d: areas changed right before it stood still", t->pid);
	int err = l ? snapshot_correct(t, &l->snapshot) : 0;
	if (!err)
		err = early_areas_correct(&t->vmas, d, t->proc, t->pid);
	if (!err)
		err = memory_judge(t);
	if (!err && d->n_blockers) {
		blockers_log(d);
		err = -ENOTSUP;
	}
	if (!err && l)
		err = copy_now(t, l);
	return err ? err : memory_write(t);
}

int pages_confirm_areas(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		struct dump_task *t = d->tasks[i];
		struct late_task *l = d->late_pages ? d->late_pages->first : NULL;

		if (!t->unconfirmed)
			continue;
		while (l && l->pid != t->pid)
			l = l->next;
		_cleanup_close_ int snapshot = l ? proc_open(l->snapshot.pid) : -1;
		err = early_areas_confirm(&t->vmas, d, snapshot >= 0 ? snapshot : t->proc,
					  snapshot >= 0 ? l->snapshot.pid : t->pid);
		if (err == -EAGAIN)
			err = correct_areas(t, l);
		if (err == -ESRCH)
			log_err("task %d or its snapshot was killed (for want of memory? --copy-frozen does without)",
				t->pid);
	}
	if (d->late_pages && !d->late_pages->copying)
		pages_drop_late(d);
	return err;
}

int pages_write_late(struct dump *d)
{
	struct late_pages *late = d->late_pages;
	uint64_t start = time_us();
	int err = fault_point(FAULT_dump_thawed);

	if (late && late->first)
		progress_phase(&d->progress, "pages of snapshots", 0);
	while (late && late->first && !err) {
		struct late_task *l = late->first;
		const struct page_job job = {
			.pid = l->pid, .mem = l->snapshot.mem, .out = l->out, .list = &l->list, .snapshot = true
		};

		err = pages_copy(&job, 1, &d->progress);
		d->stats.late_bytes += runs_bytes(&l->list, false);
		late->first = l->next;
		free_late(l);
		free(l);
	}
	d->stats.late_time = time_us() - start;
	if (!err && d->stats.late_bytes)
		log_info("copied after the thaw: %lu KiB in %lu us", d->stats.late_bytes >> 10, d->stats.late_time);
	return err ? err : fault_point(FAULT_dump_late_written);
}

void pages_drop_late(struct dump *d)
{
	while (d->late_pages && d->late_pages->first) {
		struct late_task *l = d->late_pages->first;

		d->late_pages->first = l->next;
		free_late(l);
		free(l);
	}
	free(take_ptr(d->late_pages));
}
