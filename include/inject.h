/*
 * The parasite in a task: putting it there, asking it, taking it away (parasite/README.md).
 *
 * It leaves no trace when this process dies, at whatever operation: the mapping is undone on the thread's
 * way home, and the running parasite undoes itself when it finds its socket closed.
 */
#ifndef CKPT_INJECT_H
#define CKPT_INJECT_H

#include <stdbool.h>

#include "parasite_abi.h"
#include "remote.h"

enum parasite_stage {
	PARASITE_NONE,
	PARASITE_MAPPING, /* the thread is on its way into mmap */
	PARASITE_MAPPING_ENTERED, /* inside mmap */
	PARASITE_MAPPED,
	PARASITE_STARTED, /* the thread is inside the blob, not yet connected */
	PARASITE_RUNNING, /* it answers */
};

struct parasite {
	struct remote *thread; /* the thread that it borrows; NULL: there is no parasite */
	const struct vma_list *vmas;
	pid_t pid;
	int pidfd; /* the task's, not owned */
	enum parasite_stage stage;
	bool leaving; /* it has entered its last call */
	uint32_t must_not; /* PARASITE_MUST_NOT_*, once we are dead */
	int socket; /* our end, or -1 */
	int mem; /* /proc/PID/mem, or -1 */
	uint64_t base, size; /* its mapping in the task */
};

/*
 * Makes ready for the parasite a thread that remote_prepare gave PARASITE_STACK bytes. proc is the descriptor
 * of /proc/PID. Nothing in the task changes yet. Returns 0 or -errno (logged).
 */
int parasite_open(struct parasite *p, struct remote *thread, int proc, pid_t pid, int pidfd,
		  const struct vma_list *vmas);
/*
 * The steps from there to a running parasite, ended by NULL. A step may leave its thread running: the first
 * is done for all tasks, then the second for all, ... Each returns 0 or -errno (logged); parasites_remove
 * undoes whatever was done up to then.
 */
extern int (*const parasite_steps[])(struct parasite *p);
/* Whether a stopped thread runs a parasite: one that lost its dumper and has not undone itself yet. */
bool parasite_is_in(pid_t tid);
/* Asks for what only the inside shows; the answer is fetched later. Return 0 or -errno (logged). */
int parasite_ask_task(struct parasite *p);
int parasite_hear_task(struct parasite *p, struct parasite_task *task);
/* What is left of n POSIX timers, at most PARASITE_TIMERS, and of the interval timers. Returns 0 or -errno (logged). */
int parasite_get_timers(struct parasite *p, const int32_t *ids, unsigned int n, struct parasite_timers *timers);
/* Which of PARASITE_FDS descriptors from the first on have FD_CLOEXEC. Returns 0 or -errno (logged). */
int parasite_get_cloexec(struct parasite *p, uint32_t first, struct parasite_cloexec *answer);
/* Whether the task has this AIO context. Returns 0 or -errno (logged). */
int parasite_check_aio(struct parasite *p, uint64_t context, bool *alive);
/* Stops a parasite that waits for requests, so that ptrace may look at its thread; lets it go on. */
int parasite_hold(struct parasite *p);
int parasite_resume(struct parasite *p);
/*
 * A userfaultfd of the task, which keeps none itself. Returns our descriptor, -EBADMSG, -ESRCH (logged), or another
 * -errno (not logged) when it cannot have one.
 */
int parasite_get_uffd(struct parasite *p);
/*
 * Has the parasite make a snapshot (snapshot.h), in three steps: hands it what to leave out; asks for it; hears
 * of it. Between the first two, other threads can be told to wait for *busy in case that we die: it is PARASITE_BUSY
 * until the parasite is done, and *patience is a struct timespec. Return 0, the last one with the pid of the snapshot,
 * which ends by itself soon; -errno (not logged) when there is none.
 */
int parasite_prepare_snapshot(struct parasite *p, const struct parasite_snapshot *s, uint64_t *busy,
			      uint64_t *patience);
int parasite_ask_snapshot(struct parasite *p);
int parasite_hear_snapshot(struct parasite *p, pid_t *pid);
/* Gives these ranges the advice that they would have for a snapshot, for good. Returns 0 or -errno (logged). */
int parasite_advise(struct parasite *p, const struct parasite_snapshot *ranges);
/*
 * Makes all these parasites undo themselves, from whatever stage. Their threads are at a stop then, and
 * remote_cure_* give them their state back. Returns 0 or the first -errno (logged); none is left either way.
 */
int parasites_remove(struct parasite *const *list, size_t n);

#endif
