/*
 * Collects the state of a stopped tree: first all that /proc, ptrace and kcmp show from outside, then, with
 * a parasite in each task, what only the inside shows. Changes to the target are on the undo stack.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "fault.h"
#include "log.h"

#define SCRATCH 64 /* bytes for the results of remote calls */

static const struct dump_part *const parts[] = {
#define TASK_PART(name) &dump_part_##name,
#include "task_parts.def"
#undef TASK_PART
};
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

static int collect_thread(struct dump_task *t, struct dump_thread *th)
{
	char name[48];

	snprintf(name, sizeof(name), "task/%d/status", th->tid);
	int err = proc_status(t->proc, name, &th->status);
	for (size_t i = 0; i < N_PARTS && !err; i++)
		err = parts[i]->collect_thread ? parts[i]->collect_thread(t, th) : 0;
	return err;
}

static int collect_task(struct dump_task *t)
{
	if (t->state == TASK_DEAD)
		return 0;
	int err = proc_vmas(t->proc, true, &t->vmas);
	if (!err)
		err = memory_collect(t);
	for (size_t i = 0; i < t->n_threads && !err; i++)
		err = collect_thread(t, &t->threads[i]);
	for (size_t i = 0; i < N_PARTS && !err; i++)
		err = parts[i]->collect ? parts[i]->collect(t) : 0;
	return err;
}

int collect_tree_outside(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++) {
		d->tasks[i]->ids = i + 2; /* 1 is the caller's, see inventory_entry.root_ids */
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
	for (size_t i = 0; i < d->n_tasks; i++)
		for (size_t j = 0; j < d->tasks[i]->n_threads; j++)
			remote_cure_begin(&d->tasks[i]->threads[j].remote);
	for (size_t i = 0; i < d->n_tasks; i++) {
		for (size_t j = 0; j < d->tasks[i]->n_threads; j++) {
			int failed = remote_cure_end(&d->tasks[i]->threads[j].remote);

			if (failed && failed != -ESRCH)
				err = err ? err : failed;
		}
	}
	return err;
}

static void undo_inside(void *dump)
{
	cure_tree(dump);
}

/* Calls fn for all threads of all tasks. Stops at the first error. */
static int each_thread(struct dump *d,
		       int (*fn)(struct dump_task *t, struct dump_thread *th, const struct dump_query *q),
		       const struct dump_query *q)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++)
		for (size_t j = 0; j < d->tasks[i]->n_threads && !err; j++)
			if (d->tasks[i]->threads[j].remote.home)
				err = fn(d->tasks[i], &d->tasks[i]->threads[j], q);
	return err;
}

/* Where a thread puts the answers to its queries, below its way home. */
static uint64_t scratch_of(const struct dump_thread *th)
{
	return th->remote.home - REMOTE_CHAIN - SCRATCH;
}

static int query_begin(struct dump_task *t, struct dump_thread *th, const struct dump_query *q)
{
	const uint64_t args[6] = { q->arg, scratch_of(th) };

	return remote_begin(&th->remote, q->nr, args);
}

static int query_enter(struct dump_task *t, struct dump_thread *th, const struct dump_query *q)
{
	return remote_enter_call(&th->remote);
}

static int query_end(struct dump_task *t, struct dump_thread *th, const struct dump_query *q)
{
	int err = remote_end(&th->remote, NULL);

	if (!err)
		err = tracee_read(th->tid, scratch_of(th), (char *)th + q->answer, q->size);
	return err ? log_errno(-err, "thread %d can't tell its %s", th->tid, q->what) : 0;
}

/*
 * A thread that cannot lend us its stack stands in the way of a dump, but does not hide other blockers. The
 * main thread gets more of it, for the parasite.
 */
static int prepare_thread(struct dump_task *t, size_t i)
{
	struct dump_thread *th = &t->threads[i];
	int err = remote_prepare(&th->remote, &t->gadgets, &t->vmas, i, i ? SCRATCH : PARASITE_STACK);

	if (err != -ENOSPC)
		return err;
	return blocker_add(t->dump, t->pid, "stack",
			   "its stack has no room below the stack pointer, and the main stack is full",
			   "dump it at another moment", "thread %d, stack pointer %#llx", th->tid, th->remote.regs.rsp);
}

static int prepare_task(struct dump_task *t)
{
	int err = remote_find_gadgets(t->pid, &t->vmas, &t->dump->gadget_cache, &t->gadgets);

	if (err == -ENOEXEC)
		return blocker_add(t->dump, t->pid, "code",
				   "no system call instruction followed by a return was found in it",
				   "none known; please report the program", "%zu areas", t->vmas.n);
	for (size_t i = 0; i < t->n_threads && !err; i++)
		err = prepare_thread(t, i);
	if (!err && t->threads[0].remote.home)
		err = parasite_open(&t->parasite, &t->threads[0].remote, t->proc, t->pid, t->pidfd, &t->vmas);
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

static int enter_tasks(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; parasite_steps[i] && !err; i++)
		err = each_parasite(d, parasite_steps[i]);
	if (!err)
		err = each_parasite(d, parasite_ask_task);
	for (size_t i = 0; i < d->n_tasks && !err; i++)
		if (d->tasks[i]->parasite.thread)
			err = parasite_hear_task(&d->tasks[i]->parasite, &d->tasks[i]->inside);
	return err;
}

/*
 * Everything is asked of all threads, then heard from all: what costs is the switching between them and us,
 * and they switch while we ask the others.
 */
int collect_tree_inside(struct dump *d)
{
	int err = undo_reserve(&d->undo);

	if (err)
		return err;
	undo_push(&d->undo, undo_inside, d);
	for (size_t i = 0; i < d->n_tasks && !err; i++)
		if (d->tasks[i]->state != TASK_DEAD)
			err = prepare_task(d->tasks[i]);
	for (size_t i = 0; i < N_PARTS && !err; i++) {
		if (!parts[i]->query)
			continue;
		err = each_thread(d, query_begin, parts[i]->query);
		err = err ? err : each_thread(d, query_enter, parts[i]->query);
		err = err ? err : each_thread(d, query_end, parts[i]->query);
	}
	err = err ? err : enter_tasks(d);
	return err ? err : fault_point(FAULT_dump_collected_inside);
}
