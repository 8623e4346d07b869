/*
 * Snapshots by clone(2) in the task: the parasite forks, the fork makes a child that shares its memory, and ends; init
 * or another reaper outside of the tree reaps the child in the end. We trace it, so that it dies with us, and read its
 * /proc/PID/mem, which leaves shared pages shared.
 *
 * A fork costs about 0.1 us a page. Large stretches of memory of which nothing is left to copy are left out of it
 * (MADV_WIPEONFORK) for that moment, as are some areas (MADV_DONTFORK); other threads of the task would wait for its
 * end if we died in it. A program that has just given the former to an area of 32 MiB and more gets that back.
 *
 * Stays as it is, and is copied while the task stands still: shared memory, huge pages of hugetlbfs (the task could run
 * out of them), areas that the program keeps from its children; tasks under seccomp; children of a subreaper in the
 * tree, which would see a child that is not its own. What a child has used at most (RUSAGE_CHILDREN, ru_maxrss) may be
 * larger afterwards.
 */
#include "snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "areas.h"
#include "cleanup.h"
#include "fault.h"
#include "log.h"
#include "memory_room.h"
#include "opts.h"
#include "pagemap.h"
#include "precopy.h"

#define WORTH_IT (1ul << 20) /* bytes: less is copied as soon */
#define COPY_TO_FORK 8 /* how much longer a page takes to be copied than to be forked */
#define WORTH_LEAVING_OUT (128ul << 10) /* bytes of an area */
#define WORTH_A_SPLIT (32ul << 20) /* bytes of a part of an area */
#define HUGE_PAGE (2ul << 20)
#define AREAS_TO_SPLIT 30000 /* more may come near to vm.max_map_count (65530) */
#define KEPT (~0ul)
#define PATIENCE 5 /* seconds */

/* A stretch that can be left out. */
struct stretch {
	struct parasite_range range;
	uint64_t bytes; /* of pages in it; KEPT: it is no private memory, and kept from the fork */
	bool mandatory;
};

struct plan {
	bool copying; /* what is left to copy is to be in it; else it is there for the flags of areas only */
	struct stretch *stretches; /* owned */
	size_t n;
	uint64_t left, forked; /* bytes: to be copied from it; that it has */
};

bool early_areas_wanted(const struct dump *d)
{
	return !d->opts->lazy_pages && !d->opts->copy_frozen && !tracking_by_soft_dirty();
}

bool snapshots_possible(const struct dump *d)
{
	return d->opts->leave_running && !d->opts->lazy_pages && !d->opts->copy_frozen && !has_held_buffers(d);
}

/* Whether the fork would stay alone: not under filters, and no child of anybody in the tree. */
static bool may_fork(const struct dump_task *t)
{
	if (t->state != TASK_ALIVE || t->pid == 1 || t->parasite.socket < 0 || !t->parasite.thread)
		return false;
	for (size_t i = 0; i < t->n_threads; i++)
		if (t->threads[i].status.seccomp)
			return false;
	for (const struct dump_task *a = t; a; a = a->parent)
		if (a->inside.child_subreaper > 0)
			return false;
	return true;
}

/* Whether the private pages of an area are in a snapshot. */
static bool is_forked(const struct vma *v)
{
	return memory_is_private(v) && !v->hugetlb && !v->io &&
	       !(v->madv & (1u << MADV_DONTFORK | 1u << MADV_WIPEONFORK)) && strcmp(v->name, "[vdso]") &&
	       !aio_is_ring(v);
}

/* A fork of these would be seen by others, or could take the task's pages from it. */
static bool must_be_left_out(const struct vma *v)
{
	return sysv_is_shm(v) || (v->hugetlb && !v->shared);
}

static int add_stretch(struct plan *plan, const struct stretch *s)
{
	if (!(plan->n & (plan->n - 1))) {
		struct stretch *grown = realloc(plan->stretches, (plan->n ? plan->n * 2 : 1) * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		plan->stretches = grown;
	}
	plan->stretches[plan->n++] = *s;
	return 0;
}

/* A stretch of an area in which nothing is left to copy. */
static int add_idle(struct plan *plan, const struct dump_task *t, const struct vma *v, struct stretch s)
{
	bool whole = s.range.start == v->start && s.range.end == v->end;

	if (v->ino) /* MADV_WIPEONFORK is for anonymous memory */
		return 0;
	/* some of each area is to show what flags it has */
	if (!whole || t->unconfirmed) {
		s.range.start += whole;
		s.range.start = (s.range.start + HUGE_PAGE - 1) & -HUGE_PAGE; /* none is split */
		s.range.end &= -HUGE_PAGE;
		if (s.bytes < WORTH_A_SPLIT || s.range.start >= s.range.end || t->vmas.n > AREAS_TO_SPLIT)
			return 0;
	}
	return s.bytes < WORTH_LEAVING_OUT ? 0 : add_stretch(plan, &s);
}

/* *run moves along from area to area. */
static int plan_area(struct plan *plan, const struct dump_task *t, const struct vma *v, const struct run_list *list,
		     size_t *run)
{
	bool forked = is_forked(v);
	struct stretch idle = { .range = { v->start, v->end } };
	int err = 0;

	for (; *run < list->n && list->r[*run].start < v->end && !err; ++*run) {
		const struct run *r = &list->r[*run];
		uint64_t start = r->start > v->start ? r->start : v->start, end = r->end < v->end ? r->end : v->end;

		if (forked && start < end) {
			plan->forked += end - start;
			idle.bytes += end - start;
		}
		if (forked && start < end && !r->copied && !r->parent && plan->copying) {
			plan->left += end - start;
			idle.bytes -= end - start;
			idle.range.end = start;
			err = add_idle(plan, t, v, idle);
			idle = (struct stretch){ .range = { end, v->end } };
		}
		if (r->end > v->end)
			break;
	}
	/* the parasite's stack is needed */
	bool needed = v->start <= t->parasite.thread->home && t->parasite.thread->home < v->end;
	if (err || v->io || v->madv & (1u << MADV_DONTFORK) || needed)
		return err;
	if (must_be_left_out(v) || (v->shared && !t->unconfirmed))
		return add_stretch(plan, &(struct stretch){ { v->start, v->end }, KEPT, must_be_left_out(v) });
	return add_idle(plan, t, v, idle);
}

/* What must be comes first, then what saves most. */
static int compare_stretches(const void *a, const void *b)
{
	const struct stretch *x = a, *y = b;

	if (x->mandatory != y->mandatory)
		return x->mandatory ? -1 : 1;
	return x->bytes != y->bytes ? (x->bytes > y->bytes ? -1 : 1) : 0;
}

static int make_plan(struct plan *plan, const struct dump_task *t, const struct run_list *list)
{
	size_t run = 0;
	int err = 0;

	for (size_t i = 0; i < t->vmas.n && !err; i++)
		err = plan_area(plan, t, &t->vmas.v[i], list, &run);
	if (plan->n)
		qsort(plan->stretches, plan->n, sizeof(*plan->stretches), compare_stretches);
	return err;
}

/* Whether it is of use, and there is memory for all that the task could write meanwhile. */
static bool is_worth_it(const struct dump_task *t, const struct plan *plan, uint64_t taken)
{
	bool quicker = plan->left >= WORTH_IT && plan->left >= plan->forked / COPY_TO_FORK;

	if (plan->copying && !quicker && (!t->dump->opts->precopy_rounds || !plan->left))
		return false;
	bool room = memory_room(t->proc) >= plan->forked + plan->left + taken;
	if (!room)
		log_info("task %d: there is no memory for a snapshot of %lu MiB", t->pid, plan->forked >> 20);
	return room;
}

/* Takes from the plan what the parasite is told. Returns 0 or -E2BIG. */
static int fill_request(struct plan *plan, struct parasite_snapshot *s)
{
	*s = (struct parasite_snapshot){ .patience = { PATIENCE, 0 } };
	for (size_t i = 0; i < plan->n && s->n < PARASITE_RANGES; i++, s->n++) {
		s->ranges[i] = plan->stretches[i].range;
		s->mandatory += plan->stretches[i].mandatory;
		if (plan->stretches[i].bytes == KEPT)
			s->kept++;
		else
			plan->forked -= plan->stretches[i].bytes;
	}
	return plan->n > s->n && plan->stretches[s->n].mandatory ? -E2BIG : 0;
}

/* If we die meanwhile, other threads do not fork without all their memory, nor see a child that is not theirs. */
static int hold_threads(struct dump_task *t, uint64_t busy, uint64_t patience)
{
	const uint64_t wait[6] = { busy, FUTEX_WAIT_PRIVATE, PARASITE_BUSY, patience };
	int err = 0;

	for (size_t i = 0; i < t->n_threads && !err; i++)
		if (&t->threads[i].remote != t->parasite.thread)
			err = remote_aim(&t->threads[i].remote, SYS_futex, wait);
	return err;
}

/* Tells the parasite to fork. Returns 0 or -errno (not logged). */
static int ask_for_fork(struct dump_task *t, struct parasite_snapshot *request)
{
	uint64_t busy, patience;
	int err = parasite_prepare_snapshot(&t->parasite, request, &busy, &patience);

	if (!err && hold_threads(t, busy, patience)) {
		if (request->mandatory)
			return -EOPNOTSUPP;
		request->n = 0;
		err = parasite_prepare_snapshot(&t->parasite, request, &busy, &patience);
	}
	return err ? err : parasite_ask_snapshot(&t->parasite);
}

/* From here on it ends with us, and not before. When memory runs out it is to go, not a process of the tree. */
static int hold(pid_t pid, struct snapshot *s)
{
	_cleanup_free_ char *comm = NULL;
	_cleanup_close_ int proc = proc_open(pid);
	int err = proc < 0 ? proc : proc_read(proc, "comm", &comm, NULL);

	if (!err && strcmp(comm, PARASITE_SNAPSHOT_NAME "\n")) /* another one has got its number */
		err = -ESRCH;
	if (!err)
		err = tracee_seize(pid, PTRACE_O_EXITKILL);
	if (err)
		return err;
	s->pid = pid;
	err = tracee_interrupt(pid);
	if (!err)
		s->mem = openat(proc, "mem", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int oom = err ? -1 : openat(proc, "oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (!err && (s->mem < 0 || oom < 0 || write(oom, "1000", 4) != 4))
		err = -errno;
	return err;
}

/* What the snapshot has is copied from it, the rest now. */
static int split(const struct dump_task *t, struct run_list *list, struct run_list *late)
{
	struct run_list now = {};
	size_t area = 0;
	int err = 0;

	for (size_t i = 0; i < list->n && !err; i++) {
		struct run r = list->r[i], part = r;

		for (; r.start < r.end && !err; r.start = part.end) {
			while (area < t->vmas.n && t->vmas.v[area].end <= r.start)
				area++;
			const struct vma *v = area < t->vmas.n ? &t->vmas.v[area] : NULL;
			bool from_it = v && v->start <= r.start && is_forked(v) && !r.copied;

			part.start = r.start;
			part.end = v && v->end < r.end ? v->end : r.end;
			part.copied = r.copied || from_it;
			err = run_add(&now, part);
			part.copied = r.copied || !from_it;
			if (!err)
				err = run_add(late, part);
		}
	}
	if (!err) {
		free(list->r);
		*list = now;
		return 0;
	}
	free(now.r);
	return err;
}

/* Whether a task is to have one of this kind; then what the parasite is told. */
static bool wants_one(struct dump_task *t, uint64_t taken, const struct run_list *list, bool copying, struct plan *plan,
		      struct parasite_snapshot *request)
{
	*plan = (struct plan){ .copying = copying };
	int err = make_plan(plan, t, list);
	if (!err)
		err = fill_request(plan, request);
	free(take_ptr(plan->stretches));
	return !err && is_worth_it(t, plan, taken);
}

static int keep_request(struct snapshot *s, const struct parasite_snapshot *request)
{
	s->request = malloc(sizeof(*request));
	if (!s->request)
		return -ENOMEM;
	*s->request = *request;
	return 0;
}

int snapshot_make(struct dump_task *t, uint64_t taken, struct run_list *list, struct run_list *late, struct snapshot *s)
{
	struct plan plan;
	struct parasite_snapshot request;
	pid_t pid = 0;

	*s = (struct snapshot){ .mem = -1 };
	if (!may_fork(t) || ((!late || !wants_one(t, taken, list, true, &plan, &request)) &&
			     (!t->unconfirmed || !wants_one(t, taken, list, false, &plan, &request))))
		return 0;
	int err = ask_for_fork(t, &request), fault = err ? 0 : fault_point(FAULT_dump_snapshot_begun);
	if (fault)
		return fault;
	if (!err)
		err = parasite_hear_snapshot(&t->parasite, &pid);
	if (!err)
		err = hold(pid, s);
	if (!err && t->unconfirmed)
		err = keep_request(s, &request);
	if (!err && plan.copying)
		err = split(t, list, late);
	if (!err) {
		s->bytes = plan.forked;
		log_info("task %d: process %d is its snapshot, of %lu KiB, %lu KiB of which are left to copy", t->pid,
			 s->pid, plan.forked >> 10, plan.left >> 10);
		return 1;
	}
	log_info("task %d: no snapshot (%s): it stands still while it is copied", t->pid, strerror(-err));
	snapshot_drop(s);
	if (late) {
		free(late->r);
		*late = (struct run_list){};
	}
	return 0;
}

/* Each area has the same flags everywhere, and some of it was not left out: what stands before the range, or behind. */
int snapshot_correct(struct dump_task *t, const struct snapshot *s)
{
	struct parasite_snapshot kept = {};
	struct vma_list now;
	int err = areas_read(t->dump, t->proc, t->pid, &now);

	for (uint32_t i = 0; i < s->request->n && !err; i++) {
		const struct parasite_range *r = &s->request->ranges[i];
		const struct vma *area = vma_find(&t->vmas, r->start);
		const struct vma *rest = area ? vma_find(&now, r->start > area->start ? r->start - 1 : r->end) : NULL;

		if (rest && rest->madv & (1u << MADV_WIPEONFORK)) /* of such tasks, nothing is kept from it */
			kept.ranges[kept.n++] = *r;
	}
	if (!err)
		vma_list_free(&now);
	if (!err && kept.n)
		err = parasite_advise(&t->parasite, &kept);
	return err;
}

void snapshot_drop(struct snapshot *s)
{
	int status = 0;

	if (s->mem >= 0)
		close(s->mem);
	if (s->pid && !kill(s->pid, SIGKILL))
		while (waitpid(s->pid, &status, __WALL) == s->pid && WIFSTOPPED(status))
			;
	free(s->request);
	*s = (struct snapshot){ .mem = -1 };
}
