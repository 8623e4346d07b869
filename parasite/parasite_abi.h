/*
 * What the dumper and the parasite say to each other, over a SOCK_SEQPACKET pair.
 *
 * The parasite is one read-only, executable mapping: the blob, then an area of PARASITE_AREA bytes
 * that the dumper writes through /proc/PID/mem and the parasite only reads. It runs on the stack of the
 * thread that it borrowed, below the way home. What it answers is under the influence of the target: the
 * dumper checks it like an image.
 */
#ifndef CKPT_PARASITE_ABI_H
#define CKPT_PARASITE_ABI_H

#include <stdint.h>

#define PARASITE_ABI 6 /* raised when anything in here changes its meaning */
#define PARASITE_MAX 16384 /* bytes of the blob */
#define PARASITE_AREA 4096 /* bytes behind it, for what the dumper hands to it */
#define PARASITE_STACK 8192 /* bytes of the thread's stack that it may use */
#define PARASITE_SIGNALS 64
#define PARASITE_TIMERS 32 /* POSIX timers that it is asked for at once */
#define PARASITE_FDS 8192 /* descriptors, likewise */
#define PARASITE_RANGES 250 /* of memory that a snapshot leaves out */
#define PARASITE_BUSY 0x79737562u /* a word that no stack holds by chance */
#define PARASITE_SNAPSHOT_NAME "ckpt-snapshot" /* of the process that has the memory */
#define PARASITE_SNAPSHOT_SECONDS 2 /* for which it waits for the dumper to hold it */

/*
 * For these calls the seccomp filters of the task would punish it, as soon as the dumper is dead and does not suspend
 * them any more. Then it leaves its descriptors open, or itself mapped: that is less than to be killed.
 */
#define PARASITE_MUST_NOT_CLOSE 1u
#define PARASITE_MUST_NOT_UNMAP 2u

/* Its argument, at the top of its stack. */
struct parasite_arg {
	uint32_t abi;
	int32_t sockets[2]; /* out: [0] is its own, [1] is fetched by the dumper and closed in the target */
	uint32_t must_not; /* PARASITE_MUST_NOT_* */
	uint32_t busy; /* PARASITE_BUSY: other threads that run are to wait until it changes (futex) */
	uint64_t base, size; /* its mapping */
	uint64_t call; /* where it leaves by munmap: a system call instruction of the target */
	uint64_t home; /* stack pointer of the way home */
	uint64_t compat_home; /* of a 32-bit target, whose code that instruction is: where its rt_sigreturn has the
				 stack pointer; else 0 */
};

enum parasite_command {
	PARASITE_GET_TASK = 1, /* answered by struct parasite_task */
	PARASITE_GET_UFFD, /* makes a userfaultfd; answered by it (SCM_RIGHTS), or by -errno alone */
	PARASITE_GET_TIMERS, /* the area holds count ids (int32_t) of POSIX timers; answered by struct parasite_timers
			      */
	PARASITE_GET_CLOEXEC, /* of the descriptors from number count on; answered by struct parasite_cloexec */
	PARASITE_CHECK_AIO, /* the area holds the id (uint64_t) of an AIO context; answered by 0 or -errno */
	PARASITE_SNAPSHOT, /* makes a snapshot without the ranges that the area holds (struct parasite_snapshot);
			    * answered by 0 or -errno, and by 1 from the snapshot itself (SCM_CREDENTIALS), in any order
			    */
	PARASITE_ADVISE, /* gives such ranges this advice, for good; answered by 0 or -errno */
	PARASITE_QUIT, /* closes its descriptors, unmaps itself and goes home; no answer */
};

struct parasite_request {
	uint32_t command;
	uint32_t count;
};

struct parasite_reply {
	int64_t result; /* -errno, or what the command says */
};

struct parasite_sigaction {
	uint64_t handler, flags, restorer, mask;
};

struct parasite_range {
	uint64_t start, end;
};

/*
 * What a snapshot need not have: ranges of whole pages, each inside one area. The first ones are kept from it
 * (MADV_DONTFORK), the others, of private anonymous memory, are empty in it (MADV_WIPEONFORK). If some of the first
 * ones, the mandatory ones, cannot be kept from it, there must be none.
 */
struct parasite_snapshot {
	uint32_t n, mandatory, kept;
	uint64_t patience[2]; /* struct timespec: for how long other threads wait at most */
	struct parasite_range ranges[PARASITE_RANGES];
};

/* What only the task itself can ask for. Calls that the kernel does not know leave -errno. */
struct parasite_task {
	int64_t result; /* 0 or -errno of the first call that failed */
	struct parasite_sigaction actions[PARASITE_SIGNALS]; /* [n - 1]: signal n */
	uint64_t itimers[3][4]; /* ITIMER_REAL, VIRTUAL, PROF: interval s, us, value s, us */
	uint64_t brk;
	int32_t dumpable, child_subreaper, thp_disable, mdwe, io_flusher;
	int32_t securebits;
	uint32_t personality;
	int32_t memory_merge, tsc;
	uint32_t lock_future; /* flags of mlockall(2) that memory to come gets: MCL_FUTURE, MCL_ONFAULT */
	int64_t timer_slack; /* ns */
	int64_t membarrier; /* MEMBARRIER_CMD_GET_REGISTRATIONS (6.3) */
	uint64_t pending; /* set of the signals that wait for its main thread or for all, after the timers were read */
};

struct parasite_timer {
	uint64_t interval_sec, interval_nsec, value_sec, value_nsec; /* struct itimerspec */
	int32_t result; /* 0 or -errno */
	int32_t overrun; /* of the signal that was delivered last */
};

struct parasite_timers {
	uint64_t itimers[3][4]; /* as in struct parasite_task */
	struct parasite_timer timers[PARASITE_TIMERS]; /* in the order of the ids */
};

/* A bit for each descriptor that has FD_CLOEXEC. */
struct parasite_cloexec {
	uint64_t bits[PARASITE_FDS / 64];
};

#endif
