/*
 * Collects the state of a stopped tree: first all that /proc, ptrace and kcmp show from outside, then, with
 * a parasite in each task, what only the inside shows. Changes to the target are on the undo stack.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "areas.h"
#include "chain.h"
#include "cleanup.h"
#include "compat.h"
#include "dump.h"
#include "fault.h"
#include "io_uring.h"
#include "kernel_look.h"
#include "log.h"
#include "opts.h"
#include "precopy.h"
#include "snapshot.h"
#include "track.h"

#define QUERIES 3 /* at most: REMOTE_CALLS - 1 */
#define ANSWER 32 /* bytes for the answer to each */
#define SCRATCH (QUERIES * ANSWER)
#define MANY_TASKS 20 /* so many have so much in common that it pays to ask about all at once */

void collect_ahead(struct dump *d)
{
	_cleanup_close_ int proc = proc_open(d->opts->tree);
	struct gadgets gadgets;
	struct stat fds;

	if (proc >= 0 && !fstatat(proc, "fd", &fds, 0))
		dump_bpf_begin(d, fds.st_size);
	d->online_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	namespaces_own(d);
	int err = proc < 0 ? proc : proc_vmas_few(proc, false, AREAS_MANY, &d->ahead);

	d->ahead_cut = err == -E2BIG;
	if (d->ahead_cut)
		areas_get_ready(d);
	if (!err || d->ahead_cut)
		remote_find_gadgets(d->opts->tree, false, &d->ahead, &d->gadget_cache, &gadgets);
}

static int collect_thread(struct dump_task *t, struct dump_thread *th)
{
	int err = 0;

	for (size_t i = 0; dump_parts[i] && !err; i++)
		err = dump_parts[i]->collect_thread ? dump_parts[i]->collect_thread(t, th) : 0;
	return err;
}

static int collect_task(struct dump_task *t)
{
	int err = memory_collect(t);

	for (size_t i = 0; i < t->n_threads && !err; i++)
		err = collect_thread(t, &t->threads[i]);
	for (size_t i = 0; dump_parts[i] && !err; i++)
		err = dump_parts[i]->collect ? dump_parts[i]->collect(t) : 0;
	return err;
}

/*
 * Two threads look at different tasks and threads: each takes what is next until nothing is left. What the kernel tells
 * of all threads is asked for meanwhile, and known before any is looked at.
 */
struct reading {
	struct dump *d;
	const struct bpf_types *types; /* NULL: there are few tasks; else the second thread begins with asking about */
	struct number_paths numbers; /* areas and descriptors of all */
	sem_t looked; /* it has */
	sem_t told;
	atomic_bool sharing; /* somebody looks at what tasks share */
	atomic_size_t next_task, next_thread; /* the latter counts all threads of the tree */
	atomic_int err;
};

int thread_read_status(struct dump_thread *th)
{
	char name[48];

	snprintf(name, sizeof(name), "task/%d/status", th->tid);
	return proc_status(th->task->proc, name, &th->status);
}

static int read_parts(struct dump_task *t)
{
	int err = 0;

	for (size_t i = 0; dump_parts[i] && !err; i++)
		err = dump_parts[i]->read ? dump_parts[i]->read(t) : 0;
	return err;
}

static int read_thread(struct dump_thread *th)
{
	int err = th->told ? 0 : thread_read_status(th);

	if (!err && th == th->task->threads) {
		namespaces_collect(th->task);
		err = read_parts(th->task);
	}
	for (size_t i = 0; dump_parts[i] && !err; i++)
		err = dump_parts[i]->read_thread ? dump_parts[i]->read_thread(th->task, th) : 0;
	return err;
}

/*
 * Areas whose flags were read before the task stood still are to be confirmed by its snapshot. Very many are left to
 * read_many_areas().
 */
static int read_areas(struct dump_task *t)
{
	struct draft *draft = precopy_draft(t->dump, t);
	struct tracker *tr = draft ? &draft->tracker : chain_tracker(t->dump, t);

	t->unconfirmed = tr && early_areas_recall(&tr->early, t->proc, &t->vmas);
	if (t->unconfirmed)
		return 0;
	int err = areas_like_parent(t) ? 0 : areas_read_few(t->dump, t->proc, t->pid, &t->vmas);
	t->areas_unread = err == -E2BIG;
	t->areas_known = !err;
	return t->areas_unread ? 0 : err;
}

static int read_many_areas(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		struct dump_task *t = d->tasks[i];

		if (!t->areas_unread)
			continue;
		err = areas_like_parent(t) ? 0 : areas_read(d, t->proc, t->pid, &t->vmas);
		t->areas_known = !err;
	}
	areas_forget_told(d);
	return err;
}

static int read_next(struct reading *r)
{
	struct dump *d = r->d;
	size_t i;

	i = atomic_fetch_add(&r->next_task, 1);
	if (i < d->n_tasks)
		return d->tasks[i]->state == TASK_DEAD ? 0 : read_areas(d->tasks[i]);
	sem_wait(&r->told);
	sem_post(&r->told); /* for the next one, too */
	if (!atomic_exchange(&r->sharing, true))
		return sharing_collect(d);
	i = atomic_fetch_add(&r->next_thread, 1);
	return i < d->n_threads ? read_thread(d->threads[i]) : 1;
}

static void *read_all(void *arg)
{
	struct reading *r = arg;
	int err = 0;

	while (!err && !atomic_load(&r->err))
		err = read_next(r);
	if (err < 0)
		atomic_store(&r->err, err);
	return NULL;
}

/* With soft-dirty bits, smaps is to tell what is empty, too: see areas.c. */
static int look_at_many(struct reading *r)
{
	int err = tracking_by_soft_dirty() ? 0 : areas_look(r->d, r->types, &r->numbers);

	return err ? err : fds_look(r->d, r->types, &r->numbers);
}

static void *help_read(void *arg)
{
	struct reading *r = arg;
	int err = r->types ? look_at_many(r) : 0;

	if (err)
		atomic_store(&r->err, err);
	sem_post(&r->looked);
	return read_all(r);
}

/* Does what takes longest, like reading the areas of all tasks and the status of all threads, on both of two CPUs. */
static int read_proc(struct dump *d)
{
	struct reading r = { .d = d, .types = d->n_tasks > 1 ? dump_bpf_types(d, d->n_tasks, MANY_TASKS) : NULL };
	pthread_t helper;

	if (r.types && look_numbers(d, r.types, &r.numbers))
		r.types = NULL;
	sem_init(&r.looked, 0, 0);
	sem_init(&r.told, 0, 0);
	bool helped = (r.types || d->n_threads > 16) && !pthread_create(&helper, NULL, help_read, &r);
	int err = threads_look(d);

	if (err)
		atomic_store(&r.err, err);
	sem_post(&r.told);
	if (helped)
		sem_wait(&r.looked);
	read_all(&r);
	if (helped)
		pthread_join(helper, NULL);
	sem_destroy(&r.looked);
	sem_destroy(&r.told);
	return r.err ? r.err : read_many_areas(d);
}

int collect_tree_outside(struct dump *d)
{
	int err = read_proc(d);

	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		d->tasks[i]->ids = i + 2; /* 1 is the caller's, see inventory_entry.root_ids */
		if (d->tasks[i]->state != TASK_DEAD)
			err = collect_task(d->tasks[i]);
	}
	if (!err)
		err = files_collect(d);
	return err ? err : fault_point(FAULT_dump_collected_outside);
}

/* Takes all parasites out and gives all threads their registers back; what was not done is not undone. */
int cure_tree(struct dump *d)
{
	_cleanup_free_ struct parasite **list = malloc(d->n_tasks * sizeof(*list) + 1);
	size_t n = 0;

	if (!list)
		return log_errno(ENOMEM, "can't take the parasites out");
	for (size_t i = 0; i < d->n_tasks; i++)
		if (d->tasks[i]->parasite.thread)
			list[n++] = &d->tasks[i]->parasite;
	int err = parasites_remove(list, n);
	for (size_t i = 0; i < d->n_threads; i++)
		remote_cure_begin(&d->threads[i]->remote);
	for (size_t i = 0; i < d->n_threads; i++) {
		int failed = remote_cure_end(&d->threads[i]->remote);

		if (failed && failed != -ESRCH)
			err = err ? err : failed;
	}
	return err;
}

static void undo_inside(void *dump)
{
	cure_tree(dump);
}

/* Where a thread puts the answer to query i, below its way home. */
static uint64_t scratch_of(const struct dump_thread *th, size_t i)
{
	return th->remote.home - REMOTE_CHAIN - SCRATCH + i * ANSWER;
}

/* The parts' queries. Returns how many. */
static size_t list_queries(const struct dump_query *queries[QUERIES])
{
	size_t n = 0;

	for (size_t i = 0; dump_parts[i]; i++)
		for (size_t j = 0; j < dump_parts[i]->n_queries && n < QUERIES; j++)
			queries[n++] = &dump_parts[i]->queries[j];
	return n;
}

/* Sets a thread to work on all its queries; where that cannot be, has them answered one by one. */
static int begin_queries(struct dump_thread *th)
{
	if (th->told)
		return 0;
	const struct dump_query *queries[QUERIES];
	struct chain_call calls[QUERIES];
	size_t n = list_queries(queries);

	for (size_t i = 0; i < n; i++)
		calls[i] = (struct chain_call){ queries[i]->nr, { queries[i]->arg, scratch_of(th, i) } };
	int err = remote_chain_begin(&th->remote, &th->status, calls, n);
	th->answering = !err;
	if (err != -EOPNOTSUPP)
		return err;
	err = 0;
	for (size_t i = 0; i < n && !err; i++) {
		err = remote_do(&th->remote, NULL, calls[i].nr, calls[i].args[0], calls[i].args[1]);
		if (err)
			log_errno(-err, "thread %d can't tell its %s", th->tid, queries[i]->what);
	}
	return err;
}

static int end_queries(struct dump_thread *th)
{
	const struct dump_query *queries[QUERIES];
	uint8_t answers[QUERIES][ANSWER];
	size_t n = list_queries(queries);

	if (th->told)
		return 0;
	int err = th->answering ? remote_chain_end(&th->remote) : 0;
	if (!err)
		err = tracee_read(th->tid, scratch_of(th, 0), answers, sizeof(answers));
	if (err)
		return log_errno(-err, "thread %d can't tell about itself", th->tid);
	for (size_t i = 0; i < n; i++)
		memcpy((char *)th + queries[i]->answer, answers[i], queries[i]->size);
	return 0;
}

/* What the parts ask a thread by calls of their own. */
static int ask_thread(struct dump_thread *th)
{
	int err = 0;

	for (size_t i = 0; dump_parts[i] && !err; i++)
		err = dump_parts[i]->ask_thread ? dump_parts[i]->ask_thread(th) : 0;
	return err;
}

static int each_thread(struct dump *d, int (*fn)(struct dump_thread *th))
{
	int err = 0;

	for (size_t i = 0; i < d->n_threads && !err; i++)
		if (d->threads[i]->remote.home)
			err = fn(d->threads[i]);
	return err;
}

/*
 * A thread that cannot lend us its stack stands in the way of a dump, but does not hide other blockers. The
 * main thread gets more of it, for the parasite.
 */
static int prepare_thread(struct dump_task *t, size_t i)
{
	struct dump_thread *th = &t->threads[i];
	struct remote_space space = { &t->gadgets, &t->vmas, &t->slots, th->tid == t->pid };
	int err = remote_prepare(&th->remote, &space, i ? SCRATCH : PARASITE_STACK);

	if (err != -ENOSPC)
		return err;
	return blocker_add(t->dump, t->pid, "stack",
			   "its stack has no room below the stack pointer, and the main stack cannot grow",
			   "raise its stack size (prlimit --stack), or dump it at another moment",
			   "thread %d, stack pointer %#llx", th->tid, th->remote.regs.rsp);
}

/* threads: also those of which all is known. */
static int prepare_task(struct dump_task *t, bool threads)
{
	int err = remote_find_gadgets(t->member, regs_compat(&t->threads[0].remote.regs), &t->vmas,
				      &t->dump->gadget_cache, &t->gadgets);

	if (err == -ENOEXEC)
		return blocker_add(t->dump, t->pid, "code",
				   "no system call instruction followed by a return was found in it",
				   "none known; please report the program", "%zu areas", t->vmas.n);
	for (size_t i = 1; i < t->n_threads; i++)
		remote_slots_spare(&t->slots, &t->vmas, t->threads[i].remote.regs.rsp);
	for (size_t i = 0; i < t->n_threads && !err; i++)
		if (!i || threads || !t->threads[i].told)
			err = prepare_thread(t, i);
	if (!err && t->threads[0].remote.home)
		err = parasite_open(&t->parasite, &t->threads[0].remote, t->proc, t->pid, t->pidfd, &t->vmas);
	t->parasite.must_not = seccomp_forbids(&t->threads[0]);
	return err;
}

/* Calls fn for the parasites of all tasks that have one. */
static int each_parasite(struct dump *d, int (*fn)(struct parasite *p))
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++)
		if (d->tasks[i]->parasite.thread)
			err = fn(&d->tasks[i]->parasite);
	return err;
}

/* The memory of a task that needs no parasite is to be read all the same. */
static int open_memory(struct dump_task *t)
{
	t->parasite.mem = openat(t->proc, "mem", O_RDWR | O_CLOEXEC);
	return t->parasite.mem < 0 ? log_errno(errno, "can't open the memory of task %d", t->pid) : 0;
}

static int collect_parts_inside(struct dump_task *t)
{
	int err = parasite_hear_task(&t->parasite, &t->inside);

	for (size_t i = 0; dump_parts[i] && !err; i++)
		err = dump_parts[i]->collect_inside ? dump_parts[i]->collect_inside(t) : 0;
	return err ? err : files_collect_inside(t);
}

static int enter_tasks(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; parasite_steps[i] && !err; i++)
		err = each_parasite(d, parasite_steps[i]);
	if (!err)
		err = each_parasite(d, parasite_ask_task);
	cpuinfo_own(&d->cpu, true); /* takes as long as their answers, on a virtual machine */
	for (size_t i = 0; i < d->n_tasks && !err; i++)
		if (d->tasks[i]->parasite.thread)
			err = collect_parts_inside(d->tasks[i]);
	for (size_t i = 0; i < d->n_tasks && !err; i++)
		if (d->tasks[i]->asked_of != d->tasks[i])
			task_conclude(d->tasks[i]);
	return err;
}

/* Touches the places that the threads will lend, as a dump will: pages that it makes then would be new to the image. */
static void touch_stacks(const struct dump_task *t)
{
	uint8_t byte;

	for (size_t i = 1; i < t->n_threads; i++) {
		const struct remote *r = &t->threads[i].remote;
		uint64_t end = r->home + sigframe_size(r->xstate_len);

		for (uint64_t at = r->home - REMOTE_CHAIN - SCRATCH; r->home && at < end; at = (at + 4096) & -4096)
			if (!tracee_read(r->tid, at, &byte, 1))
				tracee_write(r->tid, at, &byte, 1);
	}
}

/* Areas as far as they are known without reading smaps, which takes long in large tasks. */
static int look_at_areas(struct dump_task *t)
{
	int err = proc_vmas(t->proc, false, &t->vmas);

	for (size_t i = 0; i < t->vmas.n; i++)
		t->vmas.v[i].grows_down = !strcmp(t->vmas.v[i].name, "[stack]");
	return err;
}

int enter_some_tasks(struct dump *d, bool (*wanted)(const struct dump_task *t))
{
	int err = undo_reserve(&d->undo);

	if (err)
		return err;
	undo_push(&d->undo, undo_inside, d);
	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		struct dump_task *t = d->tasks[i];

		if (!wanted(t))
			continue;
		err = look_at_areas(t);
		if (!err)
			err = prepare_task(t, true);
		touch_stacks(t);
	}
	for (size_t i = 0; parasite_steps[i] && !err && !d->n_blockers; i++)
		err = each_parasite(d, parasite_steps[i]);
	return err;
}

/* Whether threads may have to work for us, of which all is known: before a fork, and where there are rings. */
static bool threads_may_work(const struct dump *d)
{
	bool may = snapshots_possible(d);

	for (size_t i = 0; i < d->n_tasks && !may; i++)
		may = d->tasks[i]->state != TASK_DEAD && io_uring_has(d->tasks[i]);
	return may;
}

/*
 * Everything is asked of all threads, then heard from all: what costs is the switching between them and us,
 * and they switch while we ask the others.
 */
int collect_tree_inside(struct dump *d)
{
	bool threads = threads_may_work(d);
	int err = undo_reserve(&d->undo);

	if (err)
		return err;
	undo_push(&d->undo, undo_inside, d);
	tasks_choose(d, threads || d->opts->leave_running); /* those that stay may be told to fork, or be tracked */
	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		struct dump_task *t = d->tasks[i];

		if (t->state != TASK_DEAD && !t->untouchable)
			err = t->asked_of == t ? prepare_task(t, threads) : open_memory(t);
	}
	err = err ? err : each_thread(d, begin_queries);
	err = err ? err : each_thread(d, end_queries);
	err = err ? err : each_thread(d, ask_thread);
	err = err ? err : enter_tasks(d);
	return err ? err : fault_point(FAULT_dump_collected_inside);
}
