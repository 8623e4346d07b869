/*
 * Credentials of each thread: ids, groups and capabilities as /proc/PID/task/TID/status shows them from
 * outside, where the task cannot forge them; securebits with the keep-capabilities flag from BPF iterators, else from
 * prctl(2) (by the parasite, but where that would matter by a remote call; there, a thread that differs from its main
 * thread in securebits alone, with all power, is taken to have those of the main thread).
 * Does not handle: system call user dispatch, security labels (SELinux, AppArmor).
 */
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
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
void creds_read_dispatch(struct dump_thread *th)
{
	struct {
		uint64_t mode, selector, offset, len;
	} conf = {};

	if (!ptrace((enum __ptrace_request)PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, th->tid, sizeof(conf), &conf))
		th->dispatched = conf.mode;
}

static int collect_thread(struct dump_task *t, struct dump_thread *th)
{
	if (!th->told)
		creds_read_dispatch(th);
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

static bool has_cap(const struct proc_status *st, int cap)
{
	return st->cap_prm >> cap & 1;
}

/* Whether it may do what it likes, so that a lie about securebits would gain it nothing. */
static bool is_powerful(const struct proc_status *st)
{
	return has_cap(st, CAP_SETPCAP) && has_cap(st, CAP_SYS_PTRACE);
}

static bool differs(const struct proc_status *a, const struct proc_status *b)
{
	return memcmp(a->uid, b->uid, sizeof(a->uid)) || memcmp(a->gid, b->gid, sizeof(a->gid)) ||
	       a->cap_inh != b->cap_inh || a->cap_prm != b->cap_prm || a->cap_eff != b->cap_eff ||
	       a->cap_bnd != b->cap_bnd || a->cap_amb != b->cap_amb;
}

/* The kernel's answer is in a register when the thread stops at the end of the call: nobody can change it. */
static int ask_thread(struct dump_thread *th)
{
	const struct proc_status *leader = &th->task->threads[0].status;
	int64_t bits = 0;

	if (th->securebits_known || (is_powerful(&th->status) && !differs(&th->status, leader)))
		return 0;
	int err = remote_do(&th->remote, &bits, SYS_prctl, PR_GET_SECUREBITS);
	if (err)
		return log_errno(-err, "thread %d can't tell its securebits", th->tid);
	th->securebits = bits;
	th->securebits_known = true;
	return 0;
}

int creds_dumpable(const struct dump_task *t)
{
	uint32_t euid = t->threads[0].status.uid[1];
	struct stat st;

	/* files of /proc/PID belong to the task's user if it is dumpable, else to root */
	if (t->inside.dumpable == 1 && euid && !fstatat(t->proc, "fd", &st, 0) && st.st_uid != euid)
		return 0;
	return t->inside.dumpable;
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
	e->secbits = th->securebits_known ? th->securebits : (uint32_t)t->inside.securebits;
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
	.ask_thread = ask_thread,
	.fill_thread = fill_thread,
};
