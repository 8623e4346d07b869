/*
 * Forks the tree: clone3(2) with set_tid, sessions and groups as planned (plan_sessions.c). All is forked
 * before memory is loaded that only one task has, since forking a large process is slow. Whoever loses its parent dies
 * (PR_SET_PDEATHSIG), so that nothing is left when a restore fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "cow.h"
#include "fault.h"
#include "log.h"
#include "plan.h"
#include "stage.h"
#include "task.h"
#include "tty.h"

#define HELPER_TRIES 10000
#define BUSY_TRIES 2000 /* half a millisecond each */

static _Noreturn void task_main(struct plan *plan, struct plan_task *task, pid_t parent);

/* fork() with a number. flags: CLONE_PARENT, CLONE_FILES, CLONE_FS or 0. Returns as fork(). */
static pid_t fork_as(pid_t pid, uint64_t flags)
{
	struct clone_args how = {
		.flags = flags,
		/* With CLONE_PARENT the kernel takes ours. */
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
		.set_tid = (uint64_t)&pid,
		.set_tid_size = 1,
	};

	return syscall(SYS_clone3, &how, sizeof(how));
}

/* A helper of somebody else may have the number for a moment (sk_unix_cred.c), or a thread that is dying. */
static pid_t fork_patiently(pid_t pid, uint64_t flags)
{
	for (int i = 0;; i++) {
		pid_t forked = fork_as(pid, flags);

		if (forked >= 0 || errno != EEXIST || i == BUSY_TRIES)
			return forked;
		usleep(500);
	}
}

/*
 * Waits until a child that shares a table with others has what it needs, and its children: what one of them opens for a
 * moment nobody else shall take for final, or give to a child of its own.
 */
static void await_settled(const struct plan *plan, const struct plan_task *task)
{
	if (task->born_with)
		stage_wait_word(&plan->shared->slots[task->index].settled, 1);
}

int tree_fork(struct plan *plan, struct plan_task *task, bool as_sibling)
{
	pid_t parent = as_sibling ? getppid() : getpid();

	if (__atomic_load_n(&plan->shared->failed, __ATOMIC_SEQ_CST))
		return -ECANCELED;
	pid_t pid = fork_patiently(task->pid, task->born_with | (as_sibling ? CLONE_PARENT : 0));

	if (!pid)
		task_main(plan, task, parent);
	if (pid < 0)
		return log_errno(errno, "can't fork task %d%s", task->pid,
				 errno == EEXIST ? " (its number was taken a moment ago)"
				 : errno == EPERM
					 ? " (choosing its number needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN)"
					 : "");
	plan->shared->slots[task->index].born = 1;
	if (!task->adopted) /* its forker has to end first */
		await_settled(plan, task);
	return 0;
}

pid_t tree_fork_as(pid_t pid)
{
	return fork_as(pid, CLONE_FILES);
}

pid_t tree_fork_dead(const struct plan *plan, pid_t pid)
{
	bool of_tree = pid >= plan->lowest && pid <= plan->highest; /* it may be about to be born */
	pid_t helper = of_tree ? -1 : fork_as(pid, 0);

	if (helper < 0)
		helper = tree_fork_anonymous(plan, 0);
	if (helper)
		return helper;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	for (;;)
		pause();
}

/* Born by a helper that ends right now. */
static void await_adoption(struct plan *plan, const struct plan_task *task, pid_t helper)
{
	while (getppid() == helper)
		usleep(100);
	if (getppid() != task->parent->pid) {
		log_err("task %d was adopted by %d instead of %d", task->pid, getppid(), task->parent->pid);
		stage_fail(plan);
	}
}

/* From now on this task dies with its parent. */
static void bind_to_parent(struct plan *plan, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		stage_fail(plan);
}

static int compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* The descriptors of whoever started us are none of the tree's business; only some of ours, and what it inherits. */
static int drop_foreign_descriptors(struct plan *plan)
{
	int own[] = { plan->images.fd, plan->images.unpacked ?: -1, plan->tty_fd, log_fd(), plan->guard_fd };
	size_t n_own = sizeof(own) / sizeof(own[0]), n = n_own + plan->n_inherited + 2 * plan->chain.n_parents;
	_cleanup_free_ int *keep = malloc(n * sizeof(*keep));
	unsigned int next = 0;

	if (!keep)
		return log_errno(ENOMEM, "descriptors");
	memcpy(keep, own, sizeof(own));
	for (size_t i = 0; i < plan->n_inherited; i++)
		keep[n_own + i] = plan->inherited_fds[i];
	for (size_t i = 0; i < plan->chain.n_parents; i++) {
		keep[n_own + plan->n_inherited + 2 * i] = plan->chain.parents[i].fd;
		keep[n_own + plan->n_inherited + 2 * i + 1] = plan->chain.parents[i].unpacked ?: -1;
	}
	qsort(keep, n, sizeof(*keep), compare_ints);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] < 0)
			continue;
		if ((unsigned int)keep[i] > next && syscall(SYS_close_range, next, keep[i] - 1, 0))
			return log_errno(errno, "can't close descriptors from %u to %d", next, keep[i] - 1);
		next = keep[i] + 1;
	}
	if (syscall(SYS_close_range, next, ~0u, 0))
		return log_errno(errno, "can't close descriptors above %u", next);
	return 0;
}

/*
 * The parent of a sibling is not the coordinator, so the kernel cannot tie its life to that: the read end of
 * a pipe does, which sends SIGKILL when the coordinator's write end is closed.
 */
static int arm_guard(const struct plan *plan)
{
	if (plan->guard_fd < 0)
		return 0;
	if (fcntl(plan->guard_fd, F_SETSIG, SIGKILL) || fcntl(plan->guard_fd, F_SETOWN, getpid()) ||
	    fcntl(plan->guard_fd, F_SETFL, O_ASYNC | O_NONBLOCK))
		return log_errno(errno, "can't bind task %d to the life of ckpt restore", getpid());
	char byte;
	/* End of file: the coordinator died before we listened. */
	return read(plan->guard_fd, &byte, 1) ? 0 : log_errno(ESRCH, "ckpt restore died");
}

/*
 * Makes the session of children whose leader is gone: a helper leads it, forks them as its siblings and exits.
 */
static int fork_orphans(struct plan *plan, struct plan_task *task, pid_t sid)
{
	pid_t self = getpid();
	uint64_t flags = 0;
	int status;

	for (const struct plan_task *c = task->children; c; c = c->next)
		flags |= c->orphan_session == sid ? c->born_with : 0;
	pid_t helper = fork_patiently(sid, flags);
	if (!helper) {
		bind_to_parent(plan, self);
		int err = setsid() < 0 ? -errno : 0;
		for (struct plan_task *c = task->children; !err && c; c = c->next)
			if (c->orphan_session == sid)
				err = tree_fork(plan, c, true);
		_exit(err ? 1 : 0);
	}
	if (helper < 0)
		return log_errno(errno, "can't fork a helper with the number %d for its session", sid);
	if (waitpid(helper, &status, 0) != helper || status)
		return log_errno(ECHILD, "the helper for session %d failed", sid);
	return 0;
}

/* Those of its session that lost their parent and live with its own parent now. */
static int fork_siblings(struct plan *plan, struct plan_task *task)
{
	int err = 0;

	for (struct plan_task *c = task->parent ? task->parent->children : NULL; !err && c; c = c->next)
		if (c->born_by == task && !c->adopted)
			err = tree_fork(plan, c, true);
	return err;
}

pid_t tree_fork_anonymous(const struct plan *plan, uint64_t flags)
{
	for (int i = 1; i < HELPER_TRIES; i++) {
		pid_t pid = fork_as(plan->highest + i, flags);

		if (pid < 0 && errno == EINVAL) /* above pid_max */
			break;
		if (pid >= 0 || errno != EEXIST)
			return pid;
	}
	for (int i = 1; i < HELPER_TRIES && plan->lowest - i > 1; i++) {
		pid_t pid = fork_as(plan->lowest - i, flags);

		if (pid >= 0 || errno != EEXIST)
			return pid;
	}
	errno = EAGAIN;
	return -1;
}

/* Of its session, lost its parent and was adopted further up: a helper is the parent that it loses. */
static int fork_adopted_one(struct plan *plan, const struct plan_task *task, struct plan_task *child)
{
	pid_t self = getpid(), helper = tree_fork_anonymous(plan, child->born_with);
	int status = 0;

	if (!helper) {
		bind_to_parent(plan, self);
		_exit(tree_fork(plan, child, false) ? 1 : 0);
	}
	if (helper < 0)
		return log_errno(errno, "task %d can't fork a helper", task->pid);
	if (waitpid(helper, &status, 0) != helper || status)
		return log_errno(ECHILD, "the helper of task %d failed", task->pid);
	await_settled(plan, child);
	return 0;
}

static int fork_adopted(struct plan *plan, struct plan_task *task)
{
	int err = 0;

	for (size_t i = 0; plan->any_adopted && !err && i < plan->n_tasks; i++)
		if (plan->tasks[i].adopted && plan->tasks[i].born_by == task)
			err = fork_adopted_one(plan, task, &plan->tasks[i]);
	return err;
}

static int fork_children(struct plan *plan, struct plan_task *task, bool early)
{
	int err = 0;

	for (struct plan_task *c = task->children; !err && c; c = c->next) {
		if (c->early != early || c->born_by)
			continue;
		if (!c->orphan_session)
			err = tree_fork(plan, c, false);
		else if (!plan->shared->slots[c->index].born)
			err = fork_orphans(plan, task, c->orphan_session);
	}
	return err;
}

/* The leader of the group is gone: somebody must have been it once. */
static int make_group(const struct plan_task *task)
{
	int err = 0;
	pid_t helper = fork_patiently(task->pgid, 0);

	if (!helper) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	if (helper < 0)
		return log_errno(errno, "can't fork a helper with the number %d for its group", task->pgid);
	if (setpgid(helper, helper) || setpgid(0, helper))
		err = log_errno(errno, "can't make group %d", task->pgid);
	kill(helper, SIGKILL);
	if (waitpid(helper, NULL, 0) != helper && !err)
		err = log_errno(errno, "can't reap the helper of group %d", task->pgid);
	return err;
}

/* STAGE_TREE */
static int be_born(struct plan *plan, struct plan_task *task)
{
	int err = task_open_files(plan, task);

	if (task->adopts)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (!err && plan_lives(task))
		err = cow_load(plan, task);
	if (!err)
		err = task_fault_point(plan, FAULT_restore_fork_loaded);
	/* They stay in the session that this task is about to leave. */
	if (!err)
		err = fork_children(plan, task, true);
	if (err)
		return err;
	if (task->sid == task->pid && setsid() < 0)
		return log_errno(errno, "task %d can't make its session", task->pid);
	err = session_take_terminal(task);
	if (err)
		return err;
	if (task->pgid == task->pid && task->sid != task->pid && setpgid(0, 0))
		return log_errno(errno, "task %d can't make its group", task->pid);
	err = task->makes_group ? make_group(task) : 0;
	if (!err)
		err = fork_siblings(plan, task);
	if (!err)
		err = fork_adopted(plan, task);
	return err ? err : fork_children(plan, task, false);
}

/* Leaves to others what it was born with, or passed on, but shall not have. Its forker waits for that. */
static int settle(struct plan *plan, const struct plan_task *task)
{
	if (task->parts_with && unshare(task->parts_with))
		return log_errno(errno, "task %d can't part with what others share (unshare)", task->pid);
	if (task->born_with)
		stage_set_word(&plan->shared->slots[task->index].settled, 1);
	return 0;
}

static int join_group(const struct plan_task *task)
{
	if (getsid(0) != task->sid)
		return log_errno(EPERM, "task %d landed in session %d instead of %d", task->pid, getsid(0), task->sid);
	if (getpgrp() != task->pgid && setpgid(0, task->pgid))
		return log_errno(errno, "task %d can't join group %d", task->pid, task->pgid);
	return 0;
}

/* Ends as the image says. No core: it was written when the task died first. */
static _Noreturn void die(const struct plan_task *task)
{
	int sig = task->core->exit_code & 0x7f;
	const uint64_t no_signals = 0;

	prctl(PR_SET_NAME, task->core->comm);
	if (!sig)
		_exit(task->core->exit_code >> 8 & 0xff);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	signal(sig, SIG_DFL);
	kill(getpid(), sig);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &no_signals, NULL, sizeof(no_signals));
	_exit(128 + sig);
}

/* Zombies must be dead before the signals that this causes are thrown away; helpers must leave nothing. */
static int await_dead_children(struct plan *plan, const struct plan_task *task)
{
	for (const struct plan_task *c = task->children; c; c = c->next) {
		int options = WEXITED | (c->state == TASK_HELPER ? 0 : WNOWAIT);
		siginfo_t si;

		if (plan_lives(c))
			continue;
		if (waitid(P_PID, c->pid, &si, options))
			return log_errno(errno, "can't wait for task %d to die", c->pid);
		/* Its number may be another process' soon. */
		if (c->state == TASK_HELPER)
			plan->shared->slots[c->index].born = 0;
	}
	return 0;
}

static _Noreturn void task_main(struct plan *plan, struct plan_task *task, pid_t parent)
{
	if (task->adopted)
		await_adoption(plan, task, parent);
	bind_to_parent(plan, task->adopted ? task->parent->pid : parent);
	int err = task->parent ? 0 : drop_foreign_descriptors(plan);
	if (!err && !task->parent)
		err = arm_guard(plan);
	if (!err)
		err = be_born(plan, task);
	if (!err)
		err = settle(plan, task);
	if (err)
		stage_fail(plan);
	if (plan->in_step) {
		stage_arrive(plan);
		/* All leaders exist. */
		stage_wait(plan, STAGE_GROUPS);
		if (task->adopts) /* what the image says comes later */
			prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
	}
	if (join_group(task))
		stage_fail(plan);
	if (!plan->in_step)
		task_finish(plan, task);
	if (task->state == TASK_DEAD)
		die(task);
	stage_arrive(plan);
	/* All groups have their members: nobody needs a helper any more. */
	stage_wait(plan, STAGE_MEMORY);
	if (task->state == TASK_HELPER)
		_exit(0);
	if (await_dead_children(plan, task))
		stage_fail(plan);
	task_finish(plan, task);
}
