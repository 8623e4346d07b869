/*
 * What the restorer tells its blob, and what the blob tells back. Both sides are built from this header.
 *
 * The blob lies in one block of memory that belongs to neither the old nor the new address space of the task:
 *
 *   code (read, execute) | struct restorer_args and all it points to, stacks (read, write) | restorer_shared
 *
 * Pointers are addresses in the task. Everything here was checked by the plan: the blob trusts it.
 */
#ifndef CKPT_RESTORER_ABI_H
#define CKPT_RESTORER_ABI_H

#include <stdint.h>

#define RESTORER_ABI_VERSION 6
#define RESTORER_COPY (256 << 10) /* bytes that are copied at a time: they should stay in the cache of the CPU */
#define RESTORER_HUGE (2ul << 20) /* of a huge page */
#define RESTORER_BATCH 64 /* runs of pages that are loaded by one call */
#define RESTORER_STACK 4096 /* bytes of stack of each thread while it is in the blob */

/* The stages of all tasks. A task that has done its part of one waits until the coordinator begins the next. */
enum restore_stage {
	STAGE_TREE = 1, /* fork the tree; leaders make their sessions and groups */
	STAGE_GROUPS, /* join groups: their leaders exist now. Then those that are dead in the images die */
	STAGE_MEMORY, /* all signals of that are out: descriptors, then in the blob memory, threads and the rest */
	STAGE_THREADS, /* with memory that comes late: somebody serves it now. Threads and the rest */
	STAGE_LEADERS, /* all threads are seized and die with the coordinator: what makes a task stand on its own */
};

/* What the blob was doing when it failed; see blob_step_name[] in restore/report.c. */
enum blob_step {
	STEP_NONE,
	STEP_ABI,
	STEP_UNMAP,
	STEP_VDSO,
	STEP_MAP,
	STEP_READ,
	STEP_PROTECT,
	STEP_ADVISE,
	STEP_ATTACH,
	STEP_AIO,
	STEP_BUFFERS,
	STEP_LOCK,
	STEP_LAZY,
	STEP_LOCK_FUTURE,
	STEP_CLOSE,
	STEP_FILE_LOCK,
	STEP_MM,
	STEP_PERSONALITY,
	STEP_THP,
	STEP_MEMORY_MERGE,
	STEP_TSC,
	STEP_MEMBARRIER,
	STEP_SUBREAPER,
	STEP_IO_FLUSHER,
	STEP_MDWE,
	STEP_SIGACTION,
	STEP_THREAD,
	STEP_COMM,
	STEP_ALTSTACK,
	STEP_ROBUST,
	STEP_RSEQ,
	STEP_SCHED,
	STEP_DEADLINE,
	STEP_NICE,
	STEP_AFFINITY,
	STEP_IO_PRIORITY,
	STEP_TIMER_SLACK,
	STEP_RLIMIT,
	STEP_GROUPS,
	STEP_UIDS,
	STEP_CAPS,
	STEP_SECUREBITS,
	STEP_NO_NEW_PRIVS,
	STEP_SECCOMP,
	STEP_DUMPABLE,
	STEP_PDEATH,
	STEP_SIGNAL,
	STEP_TIMER,
	STEP_POSIX_TIMER,
	STEP_FAULT,
	STEP_COUNT,
};

/* What a task tells the coordinator, which was forked from before it knew. */
struct restorer_slot {
	uint32_t born; /* it exists: to be killed when the restore fails */
	uint32_t settled; /* futex: it has forked its children, and has no table of others that is not its own */
	/* Of the first of those who share a table of descriptors: */
	uint32_t opened; /* how many need no more descriptors for a moment */
	uint32_t numbered; /* futex: the descriptors have their final numbers */
	uint32_t mapped; /* how many need no temporary descriptors any more */
	uint32_t closed; /* futex: these are closed */
	/* Of the first of those who share directories: */
	uint32_t used; /* how many look for no path any more */
	uint32_t unused;
	int32_t pair[2]; /* of a socketpair(2) that a helper of the task makes */
	uint32_t n_lazy; /* struct restorer_lazy at lazy, in its memory; 0: all its pages are there */
	int32_t uffd; /* with these: the userfaultfd of its memory */
	uint32_t unused_lazy;
	uint64_t lazy;
	uint64_t block_start, block_end; /* what has to be unmapped at the end */
	uint64_t sigchld; /* address of its struct restorer_action of SIGCHLD; used with mute_sigchld */
};

/* Pages that follow each other in memory and in a page image. */
struct restorer_pages {
	uint64_t addr;
	uint64_t len; /* bytes */
};

/* Runs of pages that follow each other in a page image. */
struct restorer_read {
	uint64_t offset; /* in the page image */
	uint64_t count; /* struct restorer_pages that it fills */
	struct restorer_pages *pages;
	uint16_t copy; /* by userfaultfd, if there is one */
	uint8_t lazy; /* in the plan: PE_LAZY */
	uint8_t away; /* in the plan: they are in no image */
	uint32_t file; /* which page image */
};

#define RESTORER_HELP (16ul << 20) /* bytes to load that a task wants help for */

enum restorer_help_state { HELP_FREE, HELP_WANTED, HELP_GIVEN, HELP_DONE };

/* A large task, whose pages the coordinator loads, too, while it waits: each takes the piece that is next. */
struct restorer_help {
	uint32_t state; /* futex: enum restorer_help_state */
	int32_t pid, uffd; /* the task, and its userfaultfd for reads to be copied; -1: it loads the others */
	uint64_t next; /* the number of the piece that is next */
	const struct restorer_read *reads; /* in the memory of the task, all their pages in one row */
	uint64_t n_reads, n_pages;
};

/* What is loaded at a time: runs that follow each other in a page image, RESTORER_COPY bytes at most if several. */
struct restorer_piece {
	uint64_t offset, len;
	uint32_t file, count;
	struct restorer_pages pages[RESTORER_BATCH];
};

/* A place in the row of all pieces. */
struct restorer_place {
	uint64_t read, page, done, offset, piece;
};

/* Takes the piece at a place in a read. */
static inline void restorer_take_piece(const struct restorer_read *r, struct restorer_place *at,
				       struct restorer_piece *piece)
{
	piece->offset = r->offset + at->offset;
	piece->len = 0;
	piece->file = r->file;
	piece->count = 0;
	while (at->page < r->count && piece->count < RESTORER_BATCH) {
		uint64_t addr = r->pages[at->page].addr + at->done, left = r->pages[at->page].len - at->done;

		if (piece->len + left > RESTORER_COPY) {
			if (piece->count)
				break;
			/* Whoever touches a huge page first shall fill all of it. */
			uint64_t most = r->copy ? RESTORER_COPY : RESTORER_HUGE - addr % RESTORER_HUGE;
			left = left < most ? left : most;
		}
		piece->pages[piece->count++] = (struct restorer_pages){ addr, left };
		piece->len += left;
		at->done += left;
		if (at->done < r->pages[at->page].len)
			break;
		at->page++;
		at->done = 0;
	}
	at->offset += piece->len;
}

/*
 * Goes on to the piece of this number, which is not one before, of the reads to be copied or of the others. Returns 0
 * when there is none, else 1.
 */
static inline int restorer_find_piece(const struct restorer_read *reads, uint64_t n, int copy,
				      struct restorer_place *at, uint64_t number, struct restorer_piece *piece)
{
	while (at->read < n) {
		const struct restorer_read *r = &reads[at->read];

		if (!r->copy != !copy || at->page == r->count) {
			at->read++;
			at->page = at->done = at->offset = 0;
			continue;
		}
		restorer_take_piece(r, at, piece);
		if (at->piece++ == number)
			return 1;
	}
	return 0;
}

/* Shared by the coordinator and all tasks. Zeroed at the start. */
struct restorer_shared {
	uint32_t stage; /* futex: the stage that has begun */
	uint32_t arrived; /* futex: how many have done their part of it */
	uint32_t expected; /* of how many */
	uint32_t failed; /* somebody has given up; the first one may fill in the rest */
	uint32_t never; /* futex: nobody ever wakes who waits here */
	uint32_t step; /* enum blob_step; STEP_NONE: the failure is in the log already */
	int32_t pid;
	int32_t error; /* errno */
	uint64_t subject; /* address, tid, signal number: what the step worked on */
	struct restorer_help help;
	struct restorer_slot slots[]; /* one a task, in the order of the plan */
};

enum restorer_lock {
	LOCK_NOT,
	LOCK,
	LOCK_ON_FAULT, /* MLOCK_ONFAULT */
};

struct restorer_area {
	uint64_t start, end;
	uint64_t pgoff; /* bytes */
	uint64_t madv; /* bit n: madvise(n) */
	uint32_t map_prot; /* while pages are read */
	uint32_t prot;
	uint32_t flags; /* MAP_* */
	uint64_t from; /* where it is mapped already, with its pages; 0: it is not */
	int32_t fd;
	uint8_t lock; /* enum restorer_lock */
	uint8_t attached; /* part of a struct restorer_attach */
	uint8_t copy; /* some of its pages are copied by userfaultfd */
	uint8_t alone; /* its file takes no address: it is mapped first, see restorer_alone.h */
	uint8_t lazy; /* some of its pages come late */
};

/* Pages that come late, for the daemon that serves them. */
struct restorer_lazy {
	uint64_t addr, len;
	uint64_t offset; /* in the page image */
	uint32_t file;
	uint32_t away;
};

struct restorer_range {
	uint64_t start, len;
};

#define VDSO_PARTS 4 /* areas of the kernel's that belong to a vDSO: code, and at most three of data */

/* From where the kernel has put an area of the vDSO to where the task had it. */
struct restorer_vdso_move {
	uint64_t from; /* offset behind vdso_hint */
	uint64_t len, to; /* bytes; address, 0: the task has unmapped it */
	uint32_t prot; /* 0: as it is */
	uint32_t unused;
};

/* An attachment of System V shared memory, mapped as a whole. */
struct restorer_attach {
	uint64_t base;
	uint32_t id, flags; /* SHM_* */
	uint64_t end, whole_end; /* of the areas that are known, of all: for who fills this in */
};

/* The ring of an AIO context, which is loaded like private memory first. */
struct restorer_ring {
	uint64_t start, len;
	uint64_t requests; /* of io_setup(2) */
};

/* Buffers of a ring of io_uring(7). */
struct restorer_buffers {
	int32_t fd;
	uint32_t n;
	const void *list; /* struct iovec each */
};

/* A POSIX lock of fcntl(2): the kernel's struct flock, with the descriptor in what that leaves unused. */
struct restorer_file_lock {
	int16_t type, whence; /* F_RDLCK, F_WRLCK; SEEK_SET */
	uint32_t unused;
	int64_t start, len;
	int32_t pid, fd;
};

struct restorer_creds {
	uint32_t uid, euid, suid, fsuid;
	uint32_t gid, egid, sgid, fsgid;
	uint32_t securebits;
	uint32_t no_new_privs;
	uint32_t change; /* 0: all but no_new_privs is as the restorer's */
	uint32_t last_cap; /* the highest capability that the kernel knows */
	uint32_t inheritable[2], permitted[2], effective[2], bounding[2], ambient[2];
	uint64_t n_groups;
	uint32_t *groups;
};

/* The kernel's struct sigaction for rt_sigaction(2); libc's differs. */
struct restorer_action {
	uint64_t handler, flags, restorer, mask;
};

/* The same for the rt_sigaction of 32-bit programs. */
struct restorer_compat_action {
	uint32_t handler, flags, restorer, mask_low, mask_high;
};

/* The kernel's siginfo_t, opaque. */
struct restorer_siginfo {
	uint8_t bytes[128];
};

/* A seccomp filter, in the layout of the kernel's struct sock_fprog but for the flags. */
struct restorer_filter {
	uint64_t len; /* instructions; only 16 bits */
	const void *code;
	uint64_t flags; /* SECCOMP_FILTER_FLAG_* */
};

/* The kernel's struct sched_attr, its first version. */
struct restorer_deadline {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period; /* ns */
};

struct restorer_thread {
	int32_t tid;
	uint32_t pdeath_sig;
	char comm[16];
	uint64_t altstack_sp, altstack_size;
	uint32_t altstack_flags;
	uint32_t rseq_size, rseq_signature;
	uint32_t set_sched, sched_policy, sched_prio;
	const struct restorer_deadline *deadline; /* instead of the policy and priority; NULL: it has another policy */
	int32_t nice;
	uint32_t set_nice;
	uint32_t set_io_priority, io_priority;
	uint64_t timer_slack; /* 0: leave it */
	const uint8_t *cpus; /* NULL: leave them */
	uint64_t cpus_len; /* bytes */
	uint64_t robust_list, robust_len;
	uint64_t clear_child_tid;
	uint64_t rseq;
	const struct restorer_creds *creds;
	uint64_t seccomp_mode; /* 0, SECCOMP_MODE_STRICT or SECCOMP_MODE_FILTER */
	uint64_t n_filters;
	const struct restorer_filter *const *filters; /* in the order in which they are put on */
	uint64_t n_pending; /* signals sent to this thread */
	const struct restorer_siginfo *pending;
	struct restorer_args *task; /* the blob's own use */
};

struct restorer_rlimit {
	uint64_t resource;
	uint64_t limit[2]; /* soft, hard */
};

struct restorer_timer {
	uint64_t interval_sec, interval_usec, value_sec, value_usec; /* struct itimerval */
};

/* A timer of timer_create(2). */
struct restorer_posix_timer {
	int32_t id, clock, notify, signal;
	int32_t tid; /* of SIGEV_THREAD_ID */
	uint32_t armed;
	uint64_t value; /* sigev_value */
	uint64_t interval_sec, interval_nsec, value_sec, value_nsec; /* struct itimerspec */
};

struct restorer_args {
	uint32_t version;
	uint32_t size; /* of this struct: both sides must agree */
	struct restorer_shared *shared;
	uint64_t block_start, block_end; /* all that stays mapped */

	uint64_t vdso_hint; /* where the kernel shall put vvar and vdso; 0: nowhere */
	uint64_t n_unmaps;
	const struct restorer_range *unmaps; /* the old address space without the block and what is kept of it */
	uint32_t vdso_command; /* ARCH_MAP_VDSO_*: which */
	uint32_t n_vdso_moves;
	struct restorer_vdso_move vdso_moves[VDSO_PARTS];
	const void *old_vdso; /* what is to stand at old_vdso_at; NULL: nothing */
	uint64_t old_vdso_at, old_vdso_size;
	uint64_t n_areas, n_reads, n_guards;
	const struct restorer_area *areas; /* ascending */
	struct restorer_read *reads;
	const struct restorer_range *guards; /* MADV_GUARD_INSTALL */
	void *copy_buffer; /* RESTORER_COPY bytes; NULL: no read is to be copied */
	const int32_t *page_fds; /* the page images */
	uint32_t n_page_fds;
	uint32_t lazy; /* memory of the tree comes late: stage THREADS takes place */
	struct restorer_slot *slot; /* its own */
	int32_t null_fd; /* /dev/null, for AIO rings; -1: there are none */
	uint64_t n_attach, n_holes;
	const struct restorer_attach *attach;
	const struct restorer_range *holes; /* of these, to be unmapped again */
	uint64_t n_rings;
	const struct restorer_ring *rings;
	uint64_t n_buffers;
	const struct restorer_buffers *buffers;
	uint64_t any_alone; /* some area is */
	uint64_t n_file_locks;
	const struct restorer_file_lock *file_locks;
	uint32_t fd_low, fd_high; /* descriptors that are closed once all is mapped, inclusive */
	struct restorer_slot *table; /* of the first who shares the table of descriptors; NULL: nobody does */
	uint64_t table_users;
	uint32_t thp_disabled; /* what PR_GET_THP_DISABLE shall tell */
	uint32_t lock_future; /* flags of mlockall(2); 0: none */

	void *mm_map; /* struct prctl_mm_map */
	uint64_t mm_map_size;
	int32_t dumpable; /* -1: leave it */
	uint32_t personality;
	uint32_t membarrier; /* commands to register, one bit each */
	uint32_t child_subreaper;
	uint32_t io_flusher, mdwe; /* PR_SET_IO_FLUSHER, PR_SET_MDWE; 0: not */
	uint32_t memory_merge, tsc_forbidden;

	const struct restorer_action *actions; /* of signals 1 to 64 */
	const struct restorer_compat_action *compat_actions; /* the same of a 32-bit program, below 4 GiB; else NULL */
	uint64_t actions_set; /* those that differ from the restorer's, one bit each */
	uint32_t mute_sigchld; /* while children are stopped no SIGCHLD shall tell it */
	uint32_t unused2;
	uint64_t n_pending; /* signals sent to the process */
	const struct restorer_siginfo *pending;

	uint64_t n_threads; /* without the leader */
	struct restorer_thread *threads; /* [0] is the leader, then n_threads others */
	uint64_t stacks; /* n_threads of RESTORER_STACK bytes */

	uint32_t n_rlimits;
	uint32_t set_timers;
	const struct restorer_rlimit *rlimits; /* those that differ from the restorer's */
	struct restorer_timer timers[3];
	uint64_t n_posix;
	const struct restorer_posix_timer *posix; /* ascending by id */

	uint32_t confined; /* some thread is under seccomp: other threads do their last things in STAGE_LEADERS, too */
	uint32_t shared_filters_on; /* futex: the leader has put on those that all threads share */
	uint64_t n_shared_filters; /* the first of each thread */

	uint32_t fault_step; /* for tests: fail after this enum blob_fault */
	uint32_t fault_signal; /* for tests: not by an error, but by this signal, sent to fault_target */
	int32_t fault_target;
	uint32_t unused;
};

/* Fault points inside the blob. */
enum blob_fault {
	BLOB_FAULT_NONE,
	BLOB_FAULT_ENTERED,
	BLOB_FAULT_MAPPED,
	BLOB_FAULT_READ,
	BLOB_FAULT_THREADS,
	BLOB_FAULT_CREDS,
};

#endif
