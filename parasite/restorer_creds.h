/* What a thread in the restorer blob does to its own privileges: credentials, seccomp. */
#ifndef CKPT_RESTORER_CREDS_H
#define CKPT_RESTORER_CREDS_H

#include <linux/capability.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>

#include "restorer_stage.h"

#define NO_ID 0xffffffffu

/* Credentials */

static int has_cap(const uint32_t set[2], uint32_t cap)
{
	return set[cap / 32] >> cap % 32 & 1;
}

static long capset(const uint32_t effective[2], const uint32_t permitted[2], const uint32_t inheritable[2])
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = {
		{ effective[0], permitted[0], inheritable[0] },
		{ effective[1], permitted[1], inheritable[1] },
	};

	return sys(capset, &head, data);
}

static void set_ids(struct restorer_args *args, const struct restorer_creds *c)
{
	must(args, STEP_GROUPS, c->n_groups, sys(setgroups, c->n_groups, c->groups));
	/* So that a change of the user id leaves the capabilities alone: they are set one by one below. */
	must(args, STEP_SECUREBITS, 0, sys(prctl, PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0));
	must(args, STEP_UIDS, c->gid, sys(setresgid, c->gid, c->egid, c->sgid));
	sys(setfsgid, c->fsgid);
	if (sys(setfsgid, NO_ID) != c->fsgid)
		fail(args, STEP_UIDS, c->fsgid, 1 /* EPERM */);
	must(args, STEP_UIDS, c->uid, sys(setresuid, c->uid, c->euid, c->suid));
	sys(setfsuid, c->fsuid);
	if (sys(setfsuid, NO_ID) != c->fsuid)
		fail(args, STEP_UIDS, c->fsuid, 1 /* EPERM */);
}

/* The order matters: each call needs a capability that the next one may take away. */
static void set_caps(struct restorer_args *args, const struct restorer_creds *c)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct now[2];

	for (uint32_t cap = 0; cap <= c->last_cap; cap++)
		if (!has_cap(c->bounding, cap))
			must(args, STEP_CAPS, cap, sys(prctl, PR_CAPBSET_DROP, cap, 0, 0, 0));
	must(args, STEP_CAPS, 0, sys(capget, &head, now));
	uint32_t permitted[2] = { now[0].permitted, now[1].permitted };
	must(args, STEP_CAPS, 0, capset(permitted, permitted, c->inheritable));
	must(args, STEP_CAPS, 0, sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
	for (uint32_t cap = 0; cap <= c->last_cap; cap++)
		if (has_cap(c->ambient, cap))
			must(args, STEP_CAPS, cap, sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0));
	must(args, STEP_SECUREBITS, c->securebits, sys(prctl, PR_SET_SECUREBITS, c->securebits, 0, 0, 0));
	must(args, STEP_CAPS, 0, capset(c->effective, c->permitted, c->inheritable));
}

static void set_creds(struct restorer_args *args, const struct restorer_creds *c)
{
	if (c->change) {
		set_ids(args, c);
		set_caps(args, c);
	}
	if (c->no_new_privs)
		must(args, STEP_NO_NEW_PRIVS, 0, sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

/* Seccomp */

static void put_filter(struct restorer_args *args, const struct restorer_thread *t, uint64_t i, uint32_t flags)
{
	const struct restorer_filter *f = t->filters[i];

	/* A positive number names a thread that cannot get the filter, too. */
	if (must(args, STEP_SECCOMP, i, sys(seccomp, SECCOMP_SET_MODE_FILTER, f->flags | flags, f)))
		fail(args, STEP_SECCOMP, i, 3 /* ESRCH */);
}

/*
 * While the thread still has all privileges. It is held by ptrace with its filters suspended: they have a say when
 * it is let go. Those that all threads share are put on all of them by the leader.
 */
static void confine(struct restorer_args *args, const struct restorer_thread *t)
{
	for (uint64_t i = args->n_shared_filters; i < t->n_filters; i++)
		put_filter(args, t, i, 0);
	if (t->seccomp_mode == SECCOMP_MODE_STRICT)
		must(args, STEP_SECCOMP, 0, sys(prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0));
}

static void confine_all(struct restorer_args *args)
{
	for (uint64_t i = 0; i < args->n_shared_filters; i++)
		put_filter(args, &args->threads[0], i, args->n_threads ? SECCOMP_FILTER_FLAG_TSYNC : 0);
	confine(args, &args->threads[0]);
	__atomic_store_n(&args->shared_filters_on, 1, __ATOMIC_SEQ_CST);
	sys6(futex, &args->shared_filters_on, FUTEX_WAKE, 0x7fffffff, 0, 0, 0);
}

/* The part of a thread in STAGE_LEADERS. */
static void confine_after_leader(struct restorer_args *args, const struct restorer_thread *t)
{
	arrive(args->shared);
	wait_stage(args->shared, STAGE_LEADERS);
	while (!__atomic_load_n(&args->shared_filters_on, __ATOMIC_SEQ_CST))
		sys6(futex, &args->shared_filters_on, FUTEX_WAIT, 0, 0, 0, 0);
	confine(args, t);
}

#endif
