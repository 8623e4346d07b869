/*
 * Remote calls: system calls that a stopped thread of another process makes for us.
 *
 * No instruction of the target is overwritten: the call is made by a syscall instruction that is already
 * there, and before the first one a complete way home (sigframe.h) lies on the thread's stack. When this
 * process disappears at any moment, the kernel takes the thread home.
 */
#ifndef CKPT_REMOTE_H
#define CKPT_REMOTE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/user.h>

#include "proc.h"
#include "regs.h"
#include "sigframe.h"
#include "tracee.h"

#define REMOTE_CALLS 4 /* in a chain, with the one that stops the thread */
#define REMOTE_CHAIN (REMOTE_CALLS * CHAIN_WORDS * 8 + 128) /* bytes below the way home for more steps of it */

/* A thread's state when it was stopped, and how to make it work for us. */
struct remote {
	pid_t tid;
	struct user_regs_struct regs; /* to go on with; a critical section of rseq is already aborted */
	long call_nr; /* the system call that the stop interrupted, or -1; a restart_syscall is resolved where it can be
		       */
	kernel_sigset mask;
	uint8_t *xstate; /* NT_X86_XSTATE; owned */
	size_t xstate_len; /* bytes */
	uint64_t rseq_area; /* address of struct rseq; 0: not registered */
	uint32_t rseq_size, rseq_signature;
	bool section_left; /* no critical section is pending */
	const struct gadgets *gadgets;
	uint64_t home; /* where the way home is to lie; 0: no place yet */
	uint64_t slot,
		slot_size; /* bytes of the main stack that it lies in; they were zero, and the cure makes them so */
	bool written; /* it lies there */
	bool used; /* it was made to run: registers and mask must be put back */
};

#define GADGETS_IN_FILE 4

/* Where the last task had its gadgets: most tasks of a tree map the same libc. Zeroed at first. */
struct gadget_cache {
	dev_t dev;
	uint64_t ino, pgoff;
	uint64_t offsets[GADGETS_IN_FILE]; /* sigreturn, pop_rax, pop_rdi, pop_rsi; 0: not there */
};

/* Finds the gadgets of a task, which runs 32-bit code (compat) or 64-bit code, in its executable areas. Returns 0,
 * -ENOMEM, or -ENOEXEC when there are none (not logged). */
int remote_find_gadgets(pid_t pid, bool compat, const struct vma_list *vmas, struct gadget_cache *cache,
			struct gadgets *g);

/*
 * Reads the state of a thread at an event or group stop. A critical section of rseq is aborted, a call that
 * failed with EINTR because of the stop is set to be issued again; both as if the stop had not been. Returns 0 or
 * -errno.
 */
int remote_capture(struct remote *r, pid_t tid);
/*
 * Aborts a critical section of rseq, and sees to it that none is pending, unless that was done. Before the thread works
 * it is, whatever it was doing: a section may cover any code. Returns 0 or -errno.
 */
int remote_leave_section(struct remote *r);

/* What of a task's main stack is taken for threads that cannot lend their own. Zeroed at first. */
struct remote_slots {
	uint64_t up, down; /* bytes above and below its low end */
	uint64_t limit; /* where the main thread's place on it begins; 0: it has none there */
};

/*
 * Before any is prepared: keeps free the place of a thread whose stack pointer is on the main stack. It may be on its
 * way home from a dumper that was killed.
 */
void remote_slots_spare(struct remote_slots *slots, const struct vma_list *vmas, uint64_t rsp);

/* What is known of the task of a thread that is to work for us. */
struct remote_space {
	const struct gadgets *gadgets;
	const struct vma_list *vmas;
	struct remote_slots *slots;
	bool main_thread; /* is it that? It works on the main stack, or not on its own one */
};

/*
 * Finds the place for the way home, which the first call writes: on the thread's stack, below the red zone, or, when
 * its stack pointer may point into a small stack among other data (coroutines, Go, alternate signal stacks), at the
 * low end of the main stack, where only zeros are, or below it: it grows. The below bytes under r->home - REMOTE_CHAIN
 * are free for use then. Returns 0 or -errno; -ENOSPC when there is no place (not logged).
 */
int remote_prepare(struct remote *r, const struct remote_space *space, size_t below);

/*
 * Makes a system call with up to six arguments. A result of -4095 .. -1 is returned as -errno (not logged).
 * result may be NULL.
 */
#define remote_do(r, result, nr, ...) remote_do_args(r, result, nr, (const uint64_t[6]){ __VA_ARGS__ })
int remote_do_args(struct remote *r, int64_t *result, long nr, const uint64_t args[6]);

/*
 * The same in three steps, so that many threads work at the same time: each waits for its turn to run and
 * to stop once, not a thousand times. All begin, then all enter, then all end.
 */
int remote_begin(struct remote *r, long nr, const uint64_t args[6]);
int remote_enter_call(struct remote *r);
int remote_end(struct remote *r, int64_t *result);

/*
 * Does not let the thread run, but should we die, it makes this call before it goes home. Returns 0 or -errno;
 * -EOPNOTSUPP (not logged) of 32-bit threads, and of those that have no place for the way home.
 */
int remote_aim(struct remote *r, long nr, const uint64_t args[6]);

/*
 * A row of calls that the thread makes on its own, in two steps: all begin, then all end. It costs one stop.
 * st is the thread's status. -EOPNOTSUPP (not logged) where the task or the thread's signals do not allow
 * it: then remote_begin serves. The results are where the calls put them; what they return is not known.
 */
int remote_chain_begin(struct remote *r, const struct proc_status *st, const struct chain_call *calls, size_t n);
int remote_chain_end(struct remote *r);

/*
 * Like remote_begin, for a mapping of private anonymous memory at an address that is free (the result of
 * remote_end). Should we die right then, the thread unmaps it again on its way home (where the task has the
 * gadget pop_rax).
 */
int remote_map_begin(struct remote *r, uint64_t address, size_t size, int prot);

/*
 * Points the thread at code at ip, with its first argument in rdi and a stack that ends at sp. It runs when
 * it is continued. Returns 0 or -errno.
 */
int remote_enter(struct remote *r, uint64_t ip, uint64_t sp, uint64_t arg);

/*
 * Stops the thread if it runs and gives it back the state that it was captured with. It stays stopped, and
 * a detach lets it go on as if nothing had happened. In two steps: all begin, then all end. Returns 0 or -errno.
 */
int remote_cure_begin(struct remote *r);
int remote_cure_end(struct remote *r);
void remote_free(struct remote *r);

#endif
