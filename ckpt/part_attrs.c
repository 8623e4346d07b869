/*
 * Single attributes of a task: name, personality, parent-death signal, OOM adjustment, login uid, child subreaper,
 * nice value of the session's autogroup; core dump filter, I/O flusher, memory-deny-write-execute, transparent huge
 * pages, merging of equal pages, TSC. CRIU has no place for the latter: they are in fields of our own.
 * Does not handle: threads that are I/O flushers, or may not read the TSC, while the main thread is not, or may.
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

/* A number from a file of /proc/PID; 0 when the kernel has no such file. */
static long number(const struct dump_task *t, const char *name, int base)
{
	_cleanup_free_ char *text = NULL;

	return proc_read(t->proc, name, &text, NULL) ? 0 : strtol(text, NULL, base);
}

/*
 * All tasks of a session are in its group, so the first one is asked: its leader, or who was adopted. 0 is what new
 * sessions have.
 */
static int autogroup_nice(const struct dump_task *t)
{
	_cleanup_free_ char *text = NULL;

	if (t->parent ? t->parent->stat.sid == t->stat.sid : t->stat.sid != t->pid)
		return 0;
	const char *nice = proc_read(t->proc, "autogroup", &text, NULL) ? NULL : strstr(text, " nice ");
	return nice ? atoi(nice + strlen(" nice ")) : 0;
}

static void fill_own(const struct dump_task *t, TaskCoreEntry *tc)
{
	tc->autogroup_nice = autogroup_nice(t);
	tc->has_autogroup_nice = tc->autogroup_nice != 0;
	tc->has_thp_disable = t->inside.thp_disable > 1;
	tc->thp_disable = t->inside.thp_disable;
	tc->has_memory_merge = tc->memory_merge = t->inside.memory_merge > 0;
	tc->has_tsc_forbidden = tc->tsc_forbidden = t->inside.tsc == PR_TSC_SIGSEGV;
	tc->has_coredump_filter = true;
	tc->coredump_filter = t->asked_of->coredump_filter;
	tc->has_io_flusher = tc->io_flusher = t->inside.io_flusher > 0;
	tc->has_mdwe = t->inside.mdwe > 0;
	tc->mdwe = t->inside.mdwe;
}

static int fill(const struct dump_task *t, CoreEntry *core, struct arena *arena)
{
	TaskCoreEntry *tc = core->tc;

	tc->comm = (char *)t->threads[0].status.name;
	tc->personality = t->inside.personality;
	tc->flags = t->stat.flags;
	tc->has_loginuid = true;
	tc->loginuid = t->asked_of->loginuid;
	tc->has_oom_score_adj = true;
	tc->oom_score_adj = t->asked_of->oom_score_adj;
	tc->has_child_subreaper = true;
	tc->child_subreaper = t->inside.child_subreaper;
	if (t->inside.membarrier > 0) {
		tc->has_membarrier_registration_mask = true;
		tc->membarrier_registration_mask = t->inside.membarrier;
	}
	fill_own(t, tc);
	return 0;
}

/* Of those that are asked for others, too. */
static int collect_inside(struct dump_task *t)
{
	t->coredump_filter = number(t, "coredump_filter", 16);
	t->loginuid = number(t, "loginuid", 10);
	t->oom_score_adj = number(t, "oom_score_adj", 10);
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
	.queries = &query,
	.n_queries = 1,
	.collect_inside = collect_inside,
	.fill = fill,
	.fill_thread = fill_thread,
};
