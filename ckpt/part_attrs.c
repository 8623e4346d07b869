/*
 * Single attributes of a task: name, personality, parent-death signal, OOM adjustment, login uid, child
 * subreaper. Those that an image has no place for are judged when they differ from what a new task has.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "dump.h"
#include "log.h"

static const struct dump_query query = {
	.what = "parent-death signal",
	.nr = SYS_prctl,
	.arg = PR_GET_PDEATHSIG,
	.answer = offsetof(struct dump_thread, pdeath_signal),
	.size = sizeof(((struct dump_thread *)0)->pdeath_signal),
};

static int judge_inside(struct dump_task *t)
{
	const struct parasite_task *in = &t->inside;
	int err = 0;

	if (in->mdwe > 0)
		err = blocker_add(t->dump, t->pid, "memory-deny-write-execute", "PR_SET_MDWE is not supported yet",
				  "start the program without it", "mdwe %d", in->mdwe);
	if (!err && in->io_flusher > 0)
		err = blocker_add(t->dump, t->pid, "I/O flusher", "PR_SET_IO_FLUSHER is not supported yet",
				  "dump it when it has cleared the flag", "io_flusher %d", in->io_flusher);
	return err;
}

/* A number from a file of /proc/PID; 0 when the kernel has no such file. */
static long number(const struct dump_task *t, const char *name)
{
	_cleanup_free_ char *text = NULL;

	return proc_read(t->proc, name, &text, NULL) ? 0 : strtol(text, NULL, 10);
}

static int fill(const struct dump_task *t, CoreEntry *core, struct arena *arena)
{
	TaskCoreEntry *tc = core->tc;

	tc->comm = (char *)t->threads[0].status.name;
	tc->personality = t->inside.personality;
	tc->flags = t->stat.flags;
	tc->has_loginuid = true;
	tc->loginuid = number(t, "loginuid");
	tc->has_oom_score_adj = true;
	tc->oom_score_adj = number(t, "oom_score_adj");
	tc->has_child_subreaper = true;
	tc->child_subreaper = t->inside.child_subreaper;
	if (t->inside.membarrier > 0) {
		tc->has_membarrier_registration_mask = true;
		tc->membarrier_registration_mask = t->inside.membarrier;
	}
	return 0;
}

static int fill_thread(const struct dump_task *t, const struct dump_thread *th, CoreEntry *core, struct arena *arena)
{
	ThreadCoreEntry *e = core->thread_core;

	e->comm = (char *)th->status.name;
	e->has_pdeath_sig = th->pdeath_signal != 0;
	e->pdeath_sig = th->pdeath_signal;
	return 0;
}

const struct dump_part dump_part_attrs = {
	.name = "attrs",
	.query = &query,
	.judge_inside = judge_inside,
	.fill = fill,
	.fill_thread = fill_thread,
};
