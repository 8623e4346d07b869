/*
 * Credentials of each thread: ids, groups and capabilities as /proc/PID/task/TID/status shows them from
 * outside, where the task cannot forge them; securebits, which only prctl(2) tells.
 * Does not handle: system call user dispatch, security labels (SELinux, AppArmor).
 */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "dump.h"
#include "log.h"

#define CAP_WORDS 2

#ifndef PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG /* 6.4 */
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211
#endif

/* Before 6.4 it cannot be seen from outside. */
static int collect_thread(struct dump_task *t, struct dump_thread *th)
{
	struct {
		uint64_t mode, selector, offset, len;
	} conf = {};

	if (!ptrace((enum __ptrace_request)PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, th->tid, sizeof(conf), &conf))
		th->dispatched = conf.mode;
	return 0;
}

static int judge_dispatch(struct dump_task *t, const struct dump_thread *th)
{
	if (!th->dispatched)
		return 0;
	t->untouchable = true; /* a call that we let it make would kill it by SIGSYS */
	return blocker_add(t->dump, t->pid, "system call user dispatch",
			   "PR_SET_SYSCALL_USER_DISPATCH is not supported yet", "dump it when it has switched it off",
			   "thread %d", th->tid);
}

static int judge_creds(struct dump_task *t)
{
	int err = 0;

	for (size_t i = 0; i < t->n_threads && !err; i++)
		err = judge_dispatch(t, &t->threads[i]);
	return err;
}

static int judge_inside(struct dump_task *t)
{
	if (t->inside.keep_caps <= 0)
		return 0;
	return blocker_add(t->dump, t->pid, "credentials", "the keep-capabilities flag (PR_SET_KEEPCAPS) is set",
			   "dump it when it has finished changing its user id", "thread %d", t->pid);
}

static int fill_caps(uint32_t **words, size_t *n, uint64_t caps, struct arena *arena)
{
	*words = arena_get(arena, CAP_WORDS * sizeof(uint32_t));
	if (!*words)
		return -ENOMEM;
	(*words)[0] = caps;
	(*words)[1] = caps >> 32;
	*n = CAP_WORDS;
	return 0;
}

static int fill_thread(const struct dump_task *t, const struct dump_thread *th, CoreEntry *core, struct arena *arena)
{
	const struct proc_status *st = &th->status;
	CredsEntry *e = arena_get(arena, sizeof(*e));

	if (!e)
		return -ENOMEM;
	creds_entry__init(e);
	e->uid = st->uid[0];
	e->euid = st->uid[1];
	e->suid = st->uid[2];
	e->fsuid = st->uid[3];
	e->gid = st->gid[0];
	e->egid = st->gid[1];
	e->sgid = st->gid[2];
	e->fsgid = st->gid[3];
	e->secbits = t->inside.securebits;
	e->n_groups = st->n_groups;
	e->groups = st->groups;
	if (fill_caps(&e->cap_inh, &e->n_cap_inh, st->cap_inh, arena) ||
	    fill_caps(&e->cap_prm, &e->n_cap_prm, st->cap_prm, arena) ||
	    fill_caps(&e->cap_eff, &e->n_cap_eff, st->cap_eff, arena) ||
	    fill_caps(&e->cap_bnd, &e->n_cap_bnd, st->cap_bnd, arena) ||
	    fill_caps(&e->cap_amb, &e->n_cap_amb, st->cap_amb, arena))
		return -ENOMEM;
	e->has_no_new_privs = st->no_new_privs;
	e->no_new_privs = st->no_new_privs;
	core->thread_core->creds = e;
	return 0;
}

const struct dump_part dump_part_creds = {
	.name = "creds",
	.collect_thread = collect_thread,
	.judge = judge_creds,
	.judge_inside = judge_inside,
	.fill_thread = fill_thread,
};
