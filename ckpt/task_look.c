/*
 * What a parasite would tell of a task, by a BPF iterator. Of most of it (what prctl(2) knows) the kernel's bits have
 * no names outside of it: so one task of those that have the same bits, and the same credentials, is asked by a
 * parasite, and the others would answer the same. What differs from one to the other is read from the kernel.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "compat.h"
#include "kernel_look.h"
#include "log.h"

/* What of the flags of a signal action is told: those of the UAPI (asm/signal.h). */
#define ACTION_FLAGS 0xdc000807ul

enum {
	SAME = 22,
	PID = SAME,
	TGID,
	PERSONALITY,
	BRK,
	SLACK,
	TIMERS,
	PENDING,
	SHARED_PENDING,
	ITIMERS,
	CWD = ITIMERS + 6,
	ROOT = CWD + 2,
	EXE = ROOT + 2,
	ACTIONS,
};

static const char *const paths[] = {
	CREDENTIALS,
	"task.real_cred.securebits",
	"task.flags", /* what it is for the memory of others, and more */
	"task.thread_info.flags", /* the time stamp counter, and more */
	"task.mm.flags@0", /* whether it may be dumped, huge and equal pages, writable code, core dumps */
	"task.mm.def_flags", /* locks on memory to come */
	"task.mm.membarrier_state",
	"task.signal.is_child_subreaper",
	"task.signal.oom_score_adj",
	"?task.loginuid",
	[PID] = LOOK_PID,
	[TGID] = LOOK_TGID,
	[PERSONALITY] = "task.personality",
	[BRK] = "task.mm.brk",
	[SLACK] = "task.timer_slack_ns",
	[TIMERS] = "task.signal.posix_timers@0",
	[PENDING] = "task.pending.signal",
	[SHARED_PENDING] = "task.signal.shared_pending.signal",
	[ITIMERS] = "task.signal.real_timer.node.expires",
	"task.signal.it_real_incr",
	"task.signal.it@0",
	"task.signal.it@8",
	"task.signal.it@16",
	"task.signal.it@24",
	[CWD] = "task.fs.pwd.mnt",
	"task.fs.pwd.dentry",
	[ROOT] = "task.fs.root.mnt",
	"task.fs.root.dentry",
	[EXE] = "task.mm.exe_file",
	[ACTIONS] = "task.sighand.action#2048",
	NULL,
};

struct task_told {
	uint64_t values[ACTIONS];
	struct parasite_sigaction actions[PARASITE_SIGNALS];
};

_Static_assert(sizeof(((struct task_told *)0)->actions) == 2048, "as the kernel has them");

static int take(void *look, const uint64_t *values)
{
	struct dump_task *t = look_task(look, values[PID]);

	if (!t || t->told || t->main_exited || !t->n_threads)
		return 0;
	t->told = malloc(sizeof(*t->told));
	if (!t->told)
		return log_errno(ENOMEM, "task %d", t->pid);
	memcpy(t->told->values, values, sizeof(t->told->values));
	memcpy(t->told->actions, values + ACTIONS, sizeof(t->told->actions));
	for (int i = 0; i < PARASITE_SIGNALS; i++)
		t->told->actions[i].flags &= ACTION_FLAGS;
	return 0;
}

int tasks_look(struct dump *d, const struct bpf_types *types, const struct number_paths *numbers)
{
	static const struct look_kind kind = { "tasks", "task", paths, take, NULL };

	return look_at_tasks(d, types, numbers, &kind);
}

bool task_has_no_timers(const struct dump_task *t)
{
	return t->told && !t->told->values[TIMERS];
}

/* Whether both values at that place are the same, and what they lead to is known to be there. */
static bool same_place(const struct dump_task *a, const struct dump_task *b, int at, int n)
{
	return a && a->told && b->told && a->told->values[at] &&
	       !memcmp(&a->told->values[at], &b->told->values[at], n * sizeof(a->told->values[0]));
}

struct dump_file *task_link_of_parent(const struct dump_task *t, const char *link)
{
	const struct dump_task *p = t->parent;

	if (!strcmp(link, "exe"))
		return same_place(p, t, EXE, 1) ? p->exe : NULL;
	if (!strcmp(link, "cwd"))
		return same_place(p, t, CWD, 2) ? p->cwd : NULL;
	return same_place(p, t, ROOT, 2) ? p->root : NULL;
}

/* Whether nothing is to be asked of it that another one cannot answer for it. */
static bool is_plain(const struct dump_task *t)
{
	if (!t->told || t->n_timers || t->n_rings || t->asked_cloexec || regs_compat(&t->threads[0].remote.regs))
		return false;
	for (size_t i = 0; i < t->n_threads; i++)
		if (!t->threads[i].told)
			return false;
	for (size_t i = ITIMERS; i < CWD; i++)
		if (t->told->values[i])
			return false;
	return true;
}

static bool is_like(const struct dump_task *a, const struct dump_task *b)
{
	return !memcmp(a->told->values, b->told->values, SAME * sizeof(a->told->values[0]));
}

#define MODELS 16

void tasks_choose(struct dump *d, bool all)
{
	struct dump_task *models[MODELS];
	size_t n = 0;

	for (size_t i = 0; i < d->n_tasks; i++) {
		struct dump_task *t = d->tasks[i];

		t->asked_of = t;
		if (all || t->state == TASK_DEAD || t->untouchable || !is_plain(t))
			continue;
		for (size_t j = 0; j < n && j < MODELS && t->asked_of == t; j++)
			if (is_like(models[j], t))
				t->asked_of = models[j];
		if (t->asked_of == t)
			models[n++ % MODELS] = t;
	}
}

void task_conclude(struct dump_task *t)
{
	const uint64_t *values = t->told->values;

	t->inside = t->asked_of->inside;
	memcpy(t->inside.actions, t->told->actions, sizeof(t->inside.actions));
	memset(t->inside.itimers, 0, sizeof(t->inside.itimers));
	t->inside.personality = values[PERSONALITY];
	t->inside.brk = values[BRK];
	t->inside.timer_slack = values[SLACK];
	t->inside.pending = values[PENDING] | values[SHARED_PENDING];
}
