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

/* Takes the parasite out of a task and gives all its threads their registers back. */
static int cure_task(struct dump_task *t)
{
	int err = parasite_remove(&t->parasite);

	for (size_t i = 0; i < t->n_threads; i++) {
		int failed = remote_cure(&t->threads[i].remote);

		if (failed && failed != -ESRCH)
			err = err ? err : failed;
	}
	return err;
}

static void undo_task(void *task)
{
	cure_task(task);
}

static int ask_thread(struct dump_task *t, struct dump_thread *th)
{
	int err = 0;

	for (size_t i = 0; i < N_PARTS && !err; i++)
		err = parts[i]->collect_inside ? parts[i]->collect_inside(t, th) : 0;
	return err;
}

/* A thread that cannot lend us its stack stands in the way of a dump, but does not hide other blockers. */
static int prepare_thread(struct dump_task *t, size_t i)
{
	struct dump_thread *th = &t->threads[i];
	size_t below = i == 0 ? PARASITE_STACK : SCRATCH;
	int err = remote_prepare(&th->remote, &t->gadgets, &t->vmas, i, below);

	if (err != -ENOSPC)
		return err ? err : 1;
	return blocker_add(t->dump, t->pid, "stack",
			   "its stack has no room below the stack pointer, and the main stack is full",
			   "dump it at another moment", "thread %d, stack pointer %#llx", th->tid, th->remote.regs.rsp);
}

static int enter_task(struct dump_task *t)
{
	int err = remote_find_gadgets(t->pid, &t->vmas, &t->dump->gadget_cache, &t->gadgets);

	if (err == -ENOEXEC)
		return blocker_add(t->dump, t->pid, "code",
				   "no system call instruction followed by a return was found in it",
				   "none known; please report the program", "%zu areas", t->vmas.n);
	err = err ? err : undo_reserve(&t->dump->undo);
	if (err)
		return err;
	undo_push(&t->dump->undo, undo_task, t);
	for (size_t i = t->n_threads; i-- > 0;) {
		struct dump_thread *th = &t->threads[i];

		err = prepare_thread(t, i);
		if (err <= 0)
			return err;
		err = ask_thread(t, th);
		if (!err && i > 0)
			err = remote_cure(&th->remote);
		if (err)
			return err;
	}
	err = parasite_inject(&t->parasite, &t->threads[0].remote, t->proc, t->pid, &t->vmas);
	return err ? err : parasite_get_task(&t->parasite, &t->inside);
}

int collect_tree_inside(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++)
		if (d->tasks[i]->state != TASK_DEAD)
			err = enter_task(d->tasks[i]);
	return err ? err : fault_point(FAULT_dump_collected_inside);
}

int cure_tree(struct dump *d)
{
	int err = 0;

	for (size_t i = 0; i < d->n_tasks && !err; i++)
		err = cure_task(d->tasks[i]);
	return err ? err : fault_point(FAULT_dump_cured);
}
