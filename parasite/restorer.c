/*
 * The restorer blob: builds the address space of a task from within, then all that only the task itself can
 * set. Interfaces: mmap(2), preadv(2), prctl(2) PR_SET_MM_MAP, arch_prctl(2) ARCH_MAP_VDSO_64, userfaultfd(2),
 * clone3(2) with set_tid. All signals stay blocked. General and extended registers and signal masks are set
 * from outside when all threads wait here, and then the blob is unmapped from outside too: it never returns.
 */
#include <asm/prctl.h>
#include <linux/futex.h>
#include <linux/ioctl.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/time_types.h>
#include <linux/uio.h>
#include <linux/userfaultfd.h>

#include "restorer_creds.h"
#include "restorer_stage.h"

void blob_main(struct restorer_args *args);

#define MADV_GUARD_INSTALL_ 102 /* 6.13 */
#define PR_TIMER_CREATE_RESTORE_IDS_ 77 /* 6.16 */
#define PR_SET_MDWE_ 65 /* 6.3 */
#define PR_SET_MEMORY_MERGE_ 67 /* 6.4 */
#define MADVISE_HUGEPAGE 14
#define MADVISE_NOHUGEPAGE 15
#define OPEN_CLOEXEC 02000000
#define SIGNAL_CHLD 17
#define THREAD_TRIES 1000 /* a millisecond each */
#define SIGSTACK_DISABLE 2
#define SIGNALS 64
#define COMPAT_RT_SIGACTION 174 /* of 32-bit programs */
#define COMPAT_SET_ROBUST_LIST 311
#define SA_NOCLDSTOP_ 1

/* Address space */

#include "restorer_aio.h"
#include "restorer_alone.h"
#include "restorer_pages.h"
#include "restorer_lazy.h"

static void unmap_old(struct restorer_args *args)
{
	for (uint64_t i = 0; i < args->n_unmaps; i++)
		must(args, STEP_UNMAP, args->unmaps[i].start, sys(munmap, args->unmaps[i].start, args->unmaps[i].len));
}

/* What was loaded before the fork, with its pages. */
static void move_area(struct restorer_args *args, const struct restorer_area *a)
{
	uint64_t len = a->end - a->start;

	if (a->from != a->start)
		must(args, STEP_MAP, a->start, sys(mremap, a->from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, a->start));
}

/* First, while all is free: what the task had unmapped of them may be in use otherwise. */
static void attach_segments(struct restorer_args *args)
{
	for (uint64_t i = 0; i < args->n_attach; i++)
		must(args, STEP_ATTACH, args->attach[i].base,
		     sys(shmat, args->attach[i].id, args->attach[i].base, args->attach[i].flags));
	for (uint64_t i = 0; i < args->n_holes; i++)
		must(args, STEP_UNMAP, args->holes[i].start, sys(munmap, args->holes[i].start, args->holes[i].len));
}

static void map_area(struct restorer_args *args, const struct restorer_area *a)
{
	if (a->from) {
		move_area(args, a);
		return;
	}
	if (a->attached || a->alone)
		return;
	long at = sys6(mmap, a->start, a->end - a->start, a->map_prot, a->flags | MAP_FIXED_NOREPLACE, a->fd, a->pgoff);

	must(args, STEP_MAP, a->start, at);
	if ((uint64_t)at != a->start)
		fail(args, STEP_MAP, a->start, 17 /* EEXIST: a kernel without MAP_FIXED_NOREPLACE */);
	/* Before pages come in: they shall have the size that the task asked for. */
	for (int advice = MADVISE_HUGEPAGE; advice <= MADVISE_NOHUGEPAGE; advice++)
		if (a->madv >> advice & 1)
			must(args, STEP_ADVISE, a->start, sys(madvise, a->start, a->end - a->start, advice));
}

/* Private anonymous memory that its neighbours may be mapped with. */
static int is_plain(const struct restorer_area *a)
{
	return !a->from && !a->attached && !a->alone && !(a->map_prot & PROT_EXEC) &&
	       (a->flags & ~MAP_NORESERVE) == (MAP_PRIVATE | MAP_ANONYMOUS);
}

static int fits(const struct restorer_area *a, const struct restorer_area *next)
{
	uint64_t advice = (1ul << MADVISE_HUGEPAGE) | (1ul << MADVISE_NOHUGEPAGE);

	return a->end == next->start && is_plain(next) && a->flags == next->flags && !((a->madv ^ next->madv) & advice);
}

/*
 * Areas side by side that differ in what may be done with them, such as stacks of threads with their guards: they are
 * mapped at once, and those that may do more get that, which is what most programs did. Returns how many they are.
 */
static uint64_t map_areas(struct restorer_args *args, const struct restorer_area *a, uint64_t most)
{
	struct restorer_area whole = *a;
	uint64_t n = 1;

	for (; n < most && is_plain(a) && fits(&a[n - 1], &a[n]); n++) {
		whole.end = a[n].end;
		whole.map_prot &= a[n].map_prot;
	}
	map_area(args, &whole);
	/* From the top: a sixth faster, for what is left to be split stays in front of what was. */
	for (uint64_t i = n; i-- > 0;)
		if (a[i].map_prot != whole.map_prot)
			must(args, STEP_PROTECT, a[i].start,
			     sys(mprotect, a[i].start, a[i].end - a[i].start, a[i].map_prot));
	return n;
}

static void finish_area(struct restorer_args *args, const struct restorer_area *a)
{
	uint64_t len = a->end - a->start;

	if (a->prot != a->map_prot)
		must(args, STEP_PROTECT, a->start, sys(mprotect, a->start, len, a->prot));
	for (int advice = 0; advice < 64 && a->madv >> advice; advice++)
		if (a->madv >> advice & 1 && advice != MADVISE_HUGEPAGE && advice != MADVISE_NOHUGEPAGE)
			must(args, STEP_ADVISE, a->start, sys(madvise, a->start, len, advice));
}

static void lock_area(struct restorer_args *args, const struct restorer_area *a)
{
	uint64_t len = a->end - a->start;

	if (!a->lock)
		return;
	long ret = sys(mlock2, a->start, len, a->lock == LOCK_ON_FAULT ? MLOCK_ONFAULT : 0);
	/* What nobody can touch is locked all the same; the call only says that it has no pages. */
	if (ret == -12 /* ENOMEM */ && (!a->prot || args->n_guards))
		return;
	must(args, STEP_LOCK, a->start, ret);
}

/* First, while all is free: the kernel takes the address as a hint only. */
static void map_vdso(struct restorer_args *args)
{
	if (!args->vdso_hint)
		return;
	must(args, STEP_VDSO, args->vdso_hint, sys(arch_prctl, args->vdso_command, args->vdso_hint));
	for (uint32_t i = 0; i < args->n_vdso_moves; i++) {
		const struct restorer_vdso_move *m = &args->vdso_moves[i];
		uint64_t from = args->vdso_hint + m->from;

		if (m->to)
			must(args, STEP_VDSO, m->to,
			     sys(mremap, from, m->len, m->len, MREMAP_MAYMOVE | MREMAP_FIXED, m->to));
		else
			must(args, STEP_VDSO, from, sys(munmap, from, m->len));
		if (m->prot)
			must(args, STEP_VDSO, m->to, sys(mprotect, m->to, m->len, m->prot));
	}
}

/* Of a table that several share the last who needs them closes them, all wait for it: locks can be taken then. */
static void close_temporary(struct restorer_args *args)
{
	struct restorer_slot *table = args->table;

	if (table && __atomic_add_fetch(&table->mapped, 1, __ATOMIC_SEQ_CST) < args->table_users) {
		while (!__atomic_load_n(&table->closed, __ATOMIC_SEQ_CST))
			sys6(futex, &table->closed, FUTEX_WAIT, 0, 0, 0, 0);
		return;
	}
	must(args, STEP_CLOSE, args->fd_low, sys(close_range, args->fd_low, args->fd_high, 0));
	if (!table)
		return;
	__atomic_store_n(&table->closed, 1, __ATOMIC_SEQ_CST);
	sys6(futex, &table->closed, FUTEX_WAKE, 0x7fffffff, 0, 0, 0);
}

static void build_memory(struct restorer_args *args)
{
	map_alone(args);
	map_vdso(args);
	attach_segments(args);
	for (uint64_t i = 0; i < args->n_areas;)
		i += map_areas(args, &args->areas[i], args->n_areas - i);
	fault(args, BLOB_FAULT_MAPPED);
	load_pages(args);
	if (args->old_vdso)
		memcpy((void *)args->old_vdso_at, args->old_vdso, args->old_vdso_size);
	fault(args, BLOB_FAULT_READ);
	make_rings(args);
	for (uint64_t i = 0; i < args->n_areas; i++)
		finish_area(args, &args->areas[i]);
	for (uint64_t i = 0; i < args->n_guards; i++)
		must(args, STEP_ADVISE, args->guards[i].start,
		     sys(madvise, args->guards[i].start, args->guards[i].len, MADV_GUARD_INSTALL_));
	for (uint64_t i = 0; i < args->n_areas; i++)
		lock_area(args, &args->areas[i]);
	if (!args->lazy)
		register_buffers(args);
	/* Takes the new executable only now that nothing of the old one is mapped. */
	must(args, STEP_MM, 0, sys(prctl, PR_SET_MM, PR_SET_MM_MAP, args->mm_map, args->mm_map_size, 0));
	close_temporary(args);
	/* No descriptor of these files is closed any more: that would drop them. */
	for (uint64_t i = 0; i < args->n_file_locks; i++)
		must(args, STEP_FILE_LOCK, args->file_locks[i].fd,
		     sys(fcntl, args->file_locks[i].fd, 6 /* F_SETLK */, &args->file_locks[i]));
}

/* Processes */

static void set_process(struct restorer_args *args)
{
	if (args->thp_disabled)
		must(args, STEP_THP, 0, sys(prctl, PR_SET_THP_DISABLE, 1, args->thp_disabled & ~1u, 0, 0));
	if (args->memory_merge)
		must(args, STEP_MEMORY_MERGE, 0, sys(prctl, PR_SET_MEMORY_MERGE_, 1, 0, 0, 0));
	if (args->tsc_forbidden) /* threads inherit it */
		must(args, STEP_TSC, 0, sys(prctl, PR_SET_TSC, PR_TSC_SIGSEGV));
	must(args, STEP_PERSONALITY, args->personality, sys(personality, args->personality));
	for (int bit = 0; bit < 32; bit++)
		if (args->membarrier >> bit & 1)
			must(args, STEP_MEMBARRIER, 1u << bit, sys(membarrier, 1u << bit, 0, 0));
	if (args->child_subreaper)
		must(args, STEP_SUBREAPER, 0, sys(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	if (args->io_flusher) /* threads inherit it */
		must(args, STEP_IO_FLUSHER, 0, sys(prctl, PR_SET_IO_FLUSHER, 1, 0, 0, 0));
}

static void set_actions(struct restorer_args *args)
{
	struct restorer_action mute = { .flags = SA_NOCLDSTOP_ };

	for (int sig = 1; sig <= SIGNALS; sig++)
		if (args->actions_set >> (sig - 1) & 1)
			must(args, STEP_SIGACTION, sig,
			     args->compat_actions
				     ? raw_compat4(COMPAT_RT_SIGACTION, sig, (long)&args->compat_actions[sig - 1], 0, 8)
				     : sys(rt_sigaction, sig, &args->actions[sig - 1], 0, 8));
	if (args->mute_sigchld)
		must(args, STEP_SIGACTION, SIGNAL_CHLD, sys(rt_sigaction, SIGNAL_CHLD, &mute, 0, 8));
}

static int signal_of(const struct restorer_siginfo *info)
{
	int sig;

	memcpy(&sig, info->bytes, sizeof(sig));
	return sig;
}

/* Signals with any origin may be queued by a thread to itself only. */
static void queue_signals(struct restorer_args *args, int tid, uint64_t n, const struct restorer_siginfo *pending)
{
	int pid = n ? sys(getpid) : 0;

	for (uint64_t i = 0; i < n; i++) {
		int sig = signal_of(&pending[i]);

		if (tid)
			must(args, STEP_SIGNAL, sig, sys(rt_tgsigqueueinfo, pid, tid, sig, pending[i].bytes));
		else
			must(args, STEP_SIGNAL, sig, sys(rt_sigqueueinfo, pid, sig, pending[i].bytes));
	}
}

/* Threads */

static void set_sched(struct restorer_args *args, const struct restorer_thread *t)
{
	int priority = t->sched_prio;

	if (t->cpus) {
		long ret = sys(sched_setaffinity, 0, t->cpus_len, t->cpus);

		if (ret != -22 /* EINVAL: meanwhile its CPUs are gone */)
			must(args, STEP_AFFINITY, t->tid, ret);
	}
	if (t->set_io_priority)
		must(args, STEP_IO_PRIORITY, t->tid, sys(ioprio_set, 1 /* IOPRIO_WHO_PROCESS */, 0, t->io_priority));
	if (t->timer_slack) /* before a real-time policy, which has none */
		must(args, STEP_TIMER_SLACK, t->tid, sys(prctl, PR_SET_TIMERSLACK, t->timer_slack, 0, 0, 0));
	if (t->deadline)
		must(args, STEP_DEADLINE, t->tid, sys(sched_setattr, 0, t->deadline, 0));
	else if (t->set_sched)
		must(args, STEP_SCHED, t->tid, sys(sched_setscheduler, 0, t->sched_policy, &priority));
	if (t->set_nice)
		must(args, STEP_NICE, t->tid, sys(setpriority, 0 /* PRIO_PROCESS */, 0, t->nice));
}

static void set_name(struct restorer_args *args, const struct restorer_thread *t)
{
	must(args, STEP_COMM, t->tid, sys(prctl, PR_SET_NAME, t->comm, 0, 0, 0));
}

static void set_thread(struct restorer_args *args, const struct restorer_thread *t)
{
	struct {
		uint64_t sp;
		int32_t flags;
		uint64_t size;
	} altstack = { t->altstack_sp, t->altstack_flags, t->altstack_size };
	int is_leader = t == args->threads;

	/* Threads are born with the name of the leader, without alternate stack, and clone3() knows what to clear. */
	if (!is_leader && memcmp(t->comm, args->threads[0].comm, sizeof(t->comm)))
		set_name(args, t);
	if (is_leader || t->altstack_flags != SIGSTACK_DISABLE)
		must(args, STEP_ALTSTACK, t->altstack_sp, sys(sigaltstack, &altstack, 0));
	if (is_leader)
		sys(set_tid_address, t->clear_child_tid);
	must(args, STEP_ROBUST, t->robust_list,
	     args->compat_actions ? raw_compat4(COMPAT_SET_ROBUST_LIST, t->robust_list, t->robust_len, 0, 0)
				  : sys(set_robust_list, t->robust_list, t->robust_len));
	if (t->rseq)
		must(args, STEP_RSEQ, t->rseq, sys(rseq, t->rseq, t->rseq_size, 0, t->rseq_signature));
	set_sched(args, t);
	queue_signals(args, t->tid, t->n_pending, t->pending);
}

static void thread_main(struct restorer_thread *t)
{
	struct restorer_args *args = t->task;

	set_thread(args, t);
	if (args->confined)
		confine_after_leader(args, t);
	set_creds(args, t->creds);
	/* After the credentials: changing them clears it. */
	if (t->pdeath_sig)
		must(args, STEP_PDEATH, t->tid, sys(prctl, PR_SET_PDEATHSIG, t->pdeath_sig, 0, 0, 0));
	arrive(args->shared);
	wait_forever(args->shared);
}

/* clone3 whose child calls fn(arg) on its new stack. fn does not return. */
static long clone_thread(struct clone_args *how, void (*fn)(struct restorer_thread *), struct restorer_thread *arg)
{
	long ret;
	register void (*entry)(struct restorer_thread *) __asm__("r12") = fn;
	register struct restorer_thread *first __asm__("r13") = arg;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r13, %%rdi\n\t"
			 "call *%%r12\n\t"
			 "ud2\n"
			 "1:"
			 : "=a"(ret)
			 : "a"(__NR_clone3), "D"(how), "S"(sizeof(*how)), "r"(entry), "r"(first)
			 : "rcx", "r11", "memory");
	return ret;
}

/* The number may be taken for a moment: a dying thread can keep it when its process is gone already (seen on 6.18). */
static long clone_patiently(struct clone_args *how, struct restorer_thread *t)
{
	struct __kernel_timespec nap = { .tv_nsec = 1000000 };

	for (int i = 0;; i++) {
		long ret = clone_thread(how, thread_main, t);

		if (ret != -17 /* EEXIST */ || i == THREAD_TRIES)
			return ret;
		sys(nanosleep, &nap, 0);
	}
}

static void make_threads(struct restorer_args *args)
{
	for (uint64_t i = 1; i <= args->n_threads; i++) {
		struct restorer_thread *t = &args->threads[i];
		struct clone_args how = {
			.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
				 CLONE_CHILD_CLEARTID,
			.child_tid = t->clear_child_tid,
			.stack = args->stacks + (i - 1) * RESTORER_STACK,
			.stack_size = RESTORER_STACK,
			.set_tid = (uint64_t)&t->tid,
			.set_tid_size = 1,
		};

		t->task = args;
		must(args, STEP_THREAD, t->tid, clone_patiently(&how, t));
	}
}

/* Timers */

/* Before 6.16 the kernel counts ids up: those in between belonged to timers that are gone. */
static void create_timer(struct restorer_args *args, const struct restorer_posix_timer *t)
{
	struct {
		uint64_t value;
		int32_t signal, notify, tid, unused[11];
	} event = { t->value, t->signal, t->notify, t->tid, {} };

	for (;;) {
		int id = t->id; /* in: what it shall be, where the kernel listens to that */

		must(args, STEP_POSIX_TIMER, t->id, sys(timer_create, t->clock, &event, &id));
		if (id == t->id)
			return;
		must(args, STEP_POSIX_TIMER, t->id, sys(timer_delete, id));
		if (id > t->id)
			fail(args, STEP_POSIX_TIMER, t->id, 17 /* EEXIST */);
	}
}

static void create_timers(struct restorer_args *args)
{
	if (!args->n_posix)
		return;
	sys(prctl, PR_TIMER_CREATE_RESTORE_IDS_, 1, 0, 0, 0);
	for (uint64_t i = 0; i < args->n_posix; i++)
		create_timer(args, &args->posix[i]);
	sys(prctl, PR_TIMER_CREATE_RESTORE_IDS_, 0, 0, 0, 0);
}

static void start_timers(struct restorer_args *args)
{
	for (int which = 0; args->set_timers && which < 3; which++)
		must(args, STEP_TIMER, which, sys(setitimer, which, &args->timers[which], 0));
	for (uint64_t i = 0; i < args->n_posix; i++) {
		const struct restorer_posix_timer *t = &args->posix[i];

		if (t->armed)
			must(args, STEP_POSIX_TIMER, t->id, sys(timer_settime, t->id, 0, &t->interval_sec, 0));
	}
}

/*
 * A change of credentials made it undumpable. 2 cannot be set: it is what a change of credentials makes, if the system
 * is set up like that. 0 protects as well.
 */
static void set_dumpable(struct restorer_args *args)
{
	int dumpable = args->dumpable;

	if (dumpable == 2)
		dumpable = sys(prctl, PR_GET_DUMPABLE, 0, 0, 0, 0) == 1 ? 0 : -1;
	if (dumpable >= 0)
		must(args, STEP_DUMPABLE, dumpable, sys(prctl, PR_SET_DUMPABLE, dumpable, 0, 0, 0));
}

/*
 * What only a process with all privileges may do, what runs, and what makes it vulnerable. All threads are
 * seized now and die with the coordinator, so that the parent-death signal need no longer see to that.
 */
static void last_things(struct restorer_args *args)
{
	const struct restorer_thread *leader = &args->threads[0];

	if (args->lock_future)
		must(args, STEP_LOCK_FUTURE, args->lock_future, sys(mlockall, args->lock_future));
	/* Timers count against a limit, and alarms need a capability that may go. */
	create_timers(args);
	for (uint32_t i = 0; i < args->n_rlimits; i++)
		must(args, STEP_RLIMIT, args->rlimits[i].resource,
		     sys(prlimit64, 0, args->rlimits[i].resource, args->rlimits[i].limit, 0));
	if (args->confined)
		confine_all(args);
	set_creds(args, leader->creds);
	fault(args, BLOB_FAULT_CREDS);
	set_dumpable(args);
	must(args, STEP_PDEATH, leader->tid, sys(prctl, PR_SET_PDEATHSIG, leader->pdeath_sig, 0, 0, 0));
	start_timers(args);
	/* Never to be taken back; what is mapped stays as it is. */
	if (args->mdwe)
		must(args, STEP_MDWE, args->mdwe, sys(prctl, PR_SET_MDWE_, args->mdwe, 0, 0, 0));
}

void blob_main(struct restorer_args *args)
{
	struct restorer_shared *shared = args->shared;

	if (args->version != RESTORER_ABI_VERSION || args->size != sizeof(*args))
		fail(args, STEP_ABI, args->version, 71 /* EPROTO */);
	unmap_old(args);
	fault(args, BLOB_FAULT_ENTERED);
	build_memory(args);
	if (args->lazy) {
		await_pages(args);
		register_buffers(args); /* which touches them */
	}
	set_process(args);
	set_actions(args);
	set_name(args, &args->threads[0]);
	make_threads(args);
	set_thread(args, &args->threads[0]);
	queue_signals(args, 0, args->n_pending, args->pending);
	fault(args, BLOB_FAULT_THREADS);
	arrive(shared);
	wait_stage(shared, STAGE_LEADERS);
	last_things(args);
	arrive(shared);
	wait_forever(shared);
}
