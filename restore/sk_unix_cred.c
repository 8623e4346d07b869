/*
 * Whom SO_PEERCRED names: the kernel takes number and ids of the task that calls socketpair(2), listen(2) or
 * connect(2). So a helper that has the number for a moment makes that call, with the ids that are wanted, in our table
 * of descriptors. It is gone before the task is born whose number it is, since all that is above the latter in the
 * tree.
 *
 * Not handled: SO_PEERPIDFD of such a socket refers to the helper; SO_PEERGROUPS are ours.
 */
#include <errno.h>
#include <linux/securebits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "plan.h"
#include "sk_unix.h"
#include "stage.h"
#include "task.h"

struct sk_unix_cred sk_unix_self(void)
{
	return (struct sk_unix_cred){ .uid = geteuid(), .gid = getegid() };
}

struct sk_unix_cred sk_unix_recorded(const UnixSkEntry *e)
{
	if (!e->has_peer_pid || !e->has_peer_uid || !e->has_peer_gid)
		return sk_unix_self();
	return (struct sk_unix_cred){ e->peer_pid, e->peer_uid, e->peer_gid };
}

struct sk_unix_cred sk_unix_holder(const struct plan *plan, const struct plan_file *file)
{
	for (size_t i = 0; file->first && i < plan->n_tasks; i++) {
		const struct plan_task *task = &plan->tasks[i];

		if (!plan_lives(task) || file->first < task->fds || file->first >= task->fds + task->n_fds)
			continue;
		const CredsEntry *e = task->threads[0].core->thread_core->creds;
		return (struct sk_unix_cred){ task->pid, e->euid, e->egid };
	}
	return sk_unix_self();
}

bool sk_unix_cred_reach(const struct plan *plan, struct plan_file *file, const UnixSkEntry *e)
{
	struct plan_task *before = file->with->owner, *task = plan_task_by_pid(plan, sk_unix_recorded(e).pid);

	if (task)
		file->with->owner = plan_common_ancestor(before, task);
	return file->with->owner != before;
}

static int call(long nr, const uint64_t args[4])
{
	return syscall(nr, args[0], args[1], args[2], args[3]) < 0 ? -errno : 0;
}

/* As another user, but with our capabilities: names lie in directories that may not be open to that one. */
static int call_with_ids(const struct sk_unix_cred *who, long nr, const uint64_t args[4])
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int bits = prctl(PR_GET_SECUREBITS, 0, 0, 0, 0);

	if (who->uid == uid && who->gid == gid)
		return call(nr, args);
	if (bits < 0 || prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
		return -errno;
	int err = syscall(SYS_setresgid, -1, who->gid, -1) || syscall(SYS_setresuid, -1, who->uid, -1) ? -errno : 0;
	if (!err)
		err = call(nr, args);
	if (syscall(SYS_setresuid, -1, uid, -1) || syscall(SYS_setresgid, -1, gid, -1) ||
	    prctl(PR_SET_SECUREBITS, bits, 0, 0, 0))
		err = -errno;
	return err;
}

/* Other ids take these away. */
static int call_ourselves(struct plan *plan, const struct sk_unix_cred *who, long nr, const uint64_t args[4])
{
	if (who->uid == geteuid() && who->gid == getegid())
		return call(nr, args);
	pid_t parent = getppid();
	int err = call_with_ids(who, nr, args);

	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		stage_fail(plan);
	return err;
}

int sk_unix_call_as(struct plan *plan, struct sk_unix_cred who, long nr, const uint64_t args[4])
{
	pid_t helper = -1;
	bool other = who.pid && who.pid != getpid();
	int status;

	if (other)
		helper = tree_fork_as(who.pid);
	if (!helper)
		_exit(-call_with_ids(&who, nr, args));
	if (helper < 0) {
		if (other)
			log_info("SO_PEERCRED will name process %d instead of %d: %s", getpid(), who.pid,
				 strerror(errno));
		return call_ourselves(plan, &who, nr, args);
	}
	while (waitpid(helper, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}
