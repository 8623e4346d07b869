/*
 * The live copy. A page image holds pages in the order of their addresses, so a page that is new, or gone, moves all
 * that follow: these are copied again.
 *
 * Does not track: shared memory, huge pages of hugetlbfs, private pages of files, tasks under seccomp; they are copied
 * while the tree stands still.
 */
#include "precopy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "areas.h"
#include "chain.h"
#include "cleanup.h"
#include "fault.h"
#include "log.h"
#include "opts.h"
#include "page_copy.h"
#include "pagemap.h"
#include "snapshot.h"
#include "time_us.h"

#define TREE_WORTH_IT (16ul << 20) /* bytes of private memory: below, two stops cost more than one that copies */
#define TASK_WORTH_IT (4ul << 20)
#define MANY_AREAS_WORTH_IT (512ul << 20) /* of a task whose areas are so many that to look at them takes 30 ms */
#define SPARSE 5000 /* bytes of addresses, hardly in use, whose page tables are walked while one byte is copied */
#define TASKS_LOOKED_AT 64
#define MANY_PAGES (64ul << 20) /* bytes */
#define MUCH_MEMORY (256ul << 20) /* bytes: smaps takes as long as to load a BPF iterator */
#define LITTLE (1ul << 20) /* bytes that a round is not worth */
#define SHORT 20000 /* us: what is written in that time is copied as soon when the tree stands still */
#define ROUNDS 5
#define ROUNDS_FOR_MAX_FROZEN 30

struct precopy {
	struct draft *drafts;
	size_t n, room;
};

/* Bytes of anonymous memory of a process, or 0. */
static uint64_t anonymous_bytes(int proc)
{
	_cleanup_free_ char *text = NULL;
	unsigned long size, resident, shared;

	if (proc_read(proc, "statm", &text, NULL) || sscanf(text, "%lu %lu %lu", &size, &resident, &shared) != 3)
		return 0;
	return resident > shared ? (resident - shared) * IMAGE_PAGE_SIZE : 0;
}

/* Bytes of it that may lie in areas that are worth tracking, less what it costs to find them in these. */
static uint64_t trackable_bytes(const struct dump *d, pid_t pid, int proc)
{
	uint64_t bytes = anonymous_bytes(proc), worth_it = 0;
	const struct vma_list *list = &d->ahead;
	struct vma_list vmas = {};

	bool known = pid == d->opts->tree && !(d->ahead_cut && bytes >= MANY_AREAS_WORTH_IT);
	if (bytes >= TASK_WORTH_IT && !known && !proc_vmas(proc, false, &vmas))
		list = &vmas;
	else if (bytes < TASK_WORTH_IT || !known)
		return bytes;
	for (size_t i = 0; i < list->n; i++)
		if (tracking_is_worth_it(&list->v[i]))
			worth_it += list->v[i].end - list->v[i].start;
	vma_list_free(&vmas);
	if (bytes > worth_it)
		bytes = worth_it;
	return bytes > worth_it / SPARSE ? bytes - worth_it / SPARSE : 0;
}

/* A guess, without stopping anything: looks at the main threads' children, and not at too many. */
static bool is_worth_it(const struct dump *d)
{
	pid_t pids[TASKS_LOOKED_AT] = { d->opts->tree };
	uint64_t bytes = 0;

	if (d->opts->precopy_rounds)
		return true;
	for (size_t i = 0, n = 1; i < n && bytes < TREE_WORTH_IT; i++) {
		_cleanup_close_ int proc = proc_open(pids[i]);
		_cleanup_free_ int *children = NULL;
		size_t found = 0;
		char name[48];

		bytes += proc < 0 ? 0 : trackable_bytes(d, pids[i], proc);
		snprintf(name, sizeof(name), "task/%d/children", pids[i]);
		if (proc >= 0 && proc_numbers(proc, name, &children, &found))
			found = 0;
		for (size_t c = 0; c < found && n < TASKS_LOOKED_AT; c++)
			pids[n++] = children[c];
	}
	return bytes >= TREE_WORTH_IT;
}

static bool may_track(const struct dump_task *t)
{
	return (t->dump->opts->precopy_rounds || trackable_bytes(t->dump, t->pid, t->proc) >= TASK_WORTH_IT) &&
	       task_may_be_tracked(t);
}

static int add_draft(struct dump *d, struct dump_task *t)
{
	struct precopy *p = d->precopy;
	struct draft *drafts = p->n < p->room ? p->drafts : realloc(p->drafts, (p->room += 16) * sizeof(*drafts));

	if (!drafts)
		return log_errno(ENOMEM, "live copy");
	p->drafts = drafts;
	struct draft *draft = &p->drafts[p->n];
	*draft = (struct draft){ .out = -1, .huge = { .pidfd = -1, .pagemap = -1 } };
	if (tracker_open(&draft->tracker, t))
		return 0;
	p->n++;
	draft->pages_id = d->next_pages_id++;
	draft->out = image_create_raw(&d->images, IMG_PAGES, draft->pages_id);
	return draft->out < 0 ? draft->out : 0;
}

/* Stops the tree, gets hold of all tasks that are worth it, and lets it go on. */
static int begin(struct dump *d)
{
	size_t mark = d->undo.n;
	int err = freeze_without_parasites(d);

	if (!err && !d->n_blockers) /* else the dump will say so */
		err = enter_some_tasks(d, may_track);
	for (size_t i = 0; i < d->n_tasks && !err && !d->n_blockers; i++)
		if (d->tasks[i]->parasite.thread)
			err = add_draft(d, d->tasks[i]);
	d->stats.tracking_pause = time_us() - d->freeze_start;
	undo_to(&d->undo, mark);
	blockers_free(d);
	log_info("tracking %zu tasks; that stopped the tree for %lu us", d->precopy->n, d->stats.tracking_pause);
	return err ? err : fault_point(FAULT_dump_tracked);
}

/* Whether the task is dead or has executed another program. */
static bool is_gone(const struct draft *draft)
{
	struct stat st;

	return fstatat(draft->tracker.proc, "stat", &st, 0) || !draft->tracker.vmas.n;
}

/* Marks all that the draft has not at the place where it belongs, and takes over the new layout. */
static int place(struct draft *draft, struct run_list *list)
{
	if (draft->missed.n)
		qsort(draft->missed.r, draft->missed.n, sizeof(*draft->missed.r), run_compare);
	int err = runs_mark(list, &draft->missed);

	if (!err)
		err = runs_mark_from(list, runs_common(&draft->layout, list));
	draft->missed.n = 0;
	return err;
}

/* What is to be copied in the next round. */
static int look(struct draft *draft)
{
	struct tracker *tr = &draft->tracker;
	struct page_scan scan = { .pid = tr->pid, .pagemap = tr->pagemap, .vmas = &tr->vmas, .tracked = true };
	struct run_list written = {}, list = {};
	int err = tracker_look(tr);

	if (!err)
		err = tracker_arm(tr, &written);
	if (!err)
		err = pages_find(&scan, &list);
	if (!err)
		err = runs_mark(&list, &written);
	draft->again += runs_overlap(&written, &draft->layout);
	if (!err)
		err = place(draft, &list);
	free(written.r);
	free(draft->layout.r);
	draft->layout = list;
	return err;
}

/* Copies what was written since the last round. Returns 0 with the bytes, or -errno (logged). */
static int copy_round(struct dump *d, uint64_t *bytes)
{
	struct precopy *p = d->precopy;
	_cleanup_free_ struct page_job *jobs = calloc(p->n + 1, sizeof(*jobs));
	size_t n = 0;

	*bytes = 0;
	if (!jobs)
		return log_errno(ENOMEM, "live copy");
	for (size_t i = 0; i < p->n; i++) {
		struct draft *draft = &p->drafts[i];

		if (!draft->huge.pid)
			huge_pages_find(&draft->huge, draft->tracker.pid, draft->tracker.proc);
		int err = look(draft);

		if (err && err != -ESRCH && !is_gone(draft))
			return log_errno(-err, "can't see which pages of task %d were written", draft->tracker.pid);
		if (err)
			continue; /* the dump will see what has become of it */
		*bytes += runs_bytes(&draft->layout, false);
		jobs[n++] = (struct page_job){ draft->tracker.pid, draft->tracker.mem, draft->out, &draft->layout,
					       &draft->missed };
	}
	return pages_copy(jobs, n, &d->progress);
}

/* Whether another round will leave less to copy: what is written meanwhile follows from how long it takes. */
static bool go_on(const struct opts *opts, unsigned int round, uint64_t bytes, uint64_t us, uint64_t us_before)
{
	/* Soft-dirty bits would have to be read and cleared, in a tree that stands still, for one more. */
	if (tracking_by_soft_dirty())
		return false;
	unsigned int most = opts->precopy_rounds ?: opts->max_frozen ? ROUNDS_FOR_MAX_FROZEN : ROUNDS;

	if (round >= most || bytes <= LITTLE)
		return false;
	if (opts->max_frozen)
		return us > opts->max_frozen * 1000ul;
	return opts->precopy_rounds || (us > SHORT && us < us_before / 2);
}

static int copy(struct dump *d)
{
	uint64_t bytes, us = 0, before = ~0ul;
	int err;

	for (unsigned int round = 1;; round++) {
		uint64_t start = time_us();

		progress_phase(&d->progress, "live copy", round);
		err = copy_round(d, &bytes);
		us = time_us() - start;
		if (err)
			return err;
		log_info("live copy, round %u: %lu KiB in %lu us", round, bytes >> 10, us);
		dump_stats_add_round(&d->stats, bytes, us);
		if (!go_on(d->opts, round, bytes, us, before))
			break;
		before = us;
	}
	if (d->opts->max_frozen && us > d->opts->max_frozen * 1000ul)
		log_warn("the tree writes faster than its memory can be copied: it will stand still for about %lu ms, "
			 "not "
			 "%u",
			 us / 1000, d->opts->max_frozen);
	return 0;
}

/* Looks at the areas of a task that take long to look at when it stands. */
static void read_areas(struct dump *d, struct tracker *tr)
{
	uint64_t bytes = anonymous_bytes(tr->proc);

	if (!d->opts->precopy_rounds && bytes < MANY_PAGES)
		return;
	d->much_memory |= bytes >= MUCH_MEMORY;
	if (d->much_memory || d->opts->bpf == BPF_ALWAYS)
		areas_get_ready(d);
	if (early_areas_wanted(d) && !areas_are_ready(d))
		early_areas_read(&tr->early, d, tr->proc, tr->pid);
}

int precopy(struct dump *d)
{
	for (size_t i = 0; i < d->chain->n; i++)
		read_areas(d, &d->chain->trackers[i]);
	if (d->opts->no_precopy || d->opts->lazy_pages || d->chain->n || !is_worth_it(d) || !tracking_possible())
		return 0;
	d->precopy = calloc(1, sizeof(*d->precopy));
	if (!d->precopy)
		return log_errno(ENOMEM, "live copy");
	int err = begin(d);
	if (!err && d->precopy->n)
		err = copy(d);
	for (size_t i = 0; i < d->precopy->n && !err; i++)
		read_areas(d, &d->precopy->drafts[i].tracker);
	return err ? err : fault_point(FAULT_dump_precopied);
}

struct draft *precopy_draft(const struct dump *d, const struct dump_task *t)
{
	for (size_t i = 0; d->precopy && i < d->precopy->n; i++) {
		struct draft *draft = &d->precopy->drafts[i];

		if (draft->tracker.pid == t->pid && draft->tracker.start_time == t->stat.start_time)
			return draft;
	}
	return NULL;
}

bool precopy_tracks(const struct dump_task *t, const struct vma *v)
{
	const struct draft *draft = precopy_draft(t->dump, t);

	return draft && tracker_has(&draft->tracker, v);
}

bool has_held_buffers(const struct dump *d)
{
	for (const struct dump_file *f = files_next(d, NULL); f; f = files_next(d, f))
		if (f->flags & O_DIRECT && (S_ISREG(f->st.st_mode) || S_ISBLK(f->st.st_mode)))
			return true;
	if (files_next_of(d, &dump_fd_io_uring, NULL))
		return true;
	for (size_t i = 0; i < d->n_tasks; i++)
		if (d->tasks[i]->n_rings)
			return true;
	return false;
}

int draft_finish(const struct dump *d, struct draft *draft, struct run_list *list, int *out)
{
	bool held = draft->tracker.unseen || has_held_buffers(d);

	draft->again += runs_overlap(list, &draft->layout);
	int err = place(draft, list);

	if (!err && held)
		err = runs_mark_from(list, 0);
	if (held)
		log_info("task %d: there is direct or asynchronous I/O, so all its memory is copied again",
			 draft->tracker.pid);
	if (!err && ftruncate(draft->out, runs_bytes(list, true)))
		err = -errno;
	if (err)
		return log_errno(-err, "can't finish the pages of task %d", draft->tracker.pid);
	log_info("task %d: %lu of %lu KiB are left to copy", draft->tracker.pid, runs_bytes(list, false) >> 10,
		 runs_bytes(list, true) >> 10);
	draft->used = true;
	*out = take_fd(&draft->out);
	return 0;
}

int precopy_give_trackers(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; d->precopy && i < d->precopy->n && !err; i++) {
		struct draft *draft = &d->precopy->drafts[i];

		if (!draft->used)
			continue;
		err = chain_add(d->chain, draft->tracker);
		draft->tracker = (struct tracker){ .proc = -1, .mem = -1, .pagemap = -1, .uffd = -1 };
	}
	return err;
}

/* Drafts that nobody used must be gone before the images get their names. */
void precopy_drop_unused(struct dump *d)
{
	for (size_t i = 0; d->precopy && i < d->precopy->n; i++)
		if (!d->precopy->drafts[i].used)
			image_remove_raw(&d->images, IMG_PAGES, d->precopy->drafts[i].pages_id);
}

void precopy_free(struct dump *d)
{
	for (size_t i = 0; d->precopy && i < d->precopy->n; i++) {
		struct draft *draft = &d->precopy->drafts[i];
		bool gone = d->killed || draft->tracker.proc < 0 || is_gone(draft);

		tracker_close(&draft->tracker, gone);
		if (!gone)
			huge_pages_restore(&draft->huge);
		huge_pages_forget(&draft->huge);
		if (draft->out >= 0)
			close(draft->out);
		free(draft->layout.r);
		free(draft->missed.r);
	}
	if (d->precopy)
		free(d->precopy->drafts);
	free(take_ptr(d->precopy));
}
