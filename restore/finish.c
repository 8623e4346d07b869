/*
 * The end of a restore, from outside by ptrace(2): every thread waits in the blob, seized. They are all
 * stopped, get their registers and masks, lose the blob, and are let go at once. No signal frame is needed,
 * and nothing of the restorer remains in the tasks. PTRACE_O_EXITKILL kills all if the coordinator dies, a witness
 * those that were let go already.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "compat.h"
#include "fault.h"
#include "log.h"
#include "plan.h"
#include "stage.h"
#include "task.h"
#include "tracee.h"

extern const uint8_t restorer_blob[], restorer_blob_end[];

#define RSEQ_CS_OFFSET 8 /* of rseq_cs in struct rseq */
#define EXIT_TRIES 50000 /* a tenth of a millisecond apart */

/* Calls fn for every thread of all tasks that live, until one fails. */
static int each_thread(struct plan *plan,
		       int (*fn)(struct plan *plan, struct plan_task *task, struct plan_thread *thread))
{
	int err = 0;

	for (size_t i = 0; i < plan->n_tasks; i++) {
		struct plan_task *task = &plan->tasks[i];

		for (size_t t = 0; !err && plan_lives(task) && t < task->n_threads; t++)
			err = fn(plan, task, &task->threads[t]);
	}
	return err;
}

static int seize(struct plan *plan, struct plan_task *task, struct plan_thread *thread)
{
	int confined = task->confined ? PTRACE_O_SUSPEND_SECCOMP : 0;
	int err = tracee_seize(thread->tid, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | confined);

	return err ? log_errno(-err, "can't attach to thread %d of task %d", thread->tid, task->pid) : 0;
}

static int interrupt(struct plan *plan, struct plan_task *task, struct plan_thread *thread)
{
	int err = tracee_interrupt(thread->tid);

	return err ? log_errno(-err, "can't stop thread %d of task %d", thread->tid, task->pid) : 0;
}

static int settle(struct plan *plan, struct plan_task *task, struct plan_thread *thread)
{
	int stop = tracee_settle(thread->tid, true, NULL);

	if (stop == STOP_EVENT)
		return 0;
	log_err("thread %d of task %d did not stop as expected (%d): was it killed?", thread->tid, task->pid, stop);
	return stop < 0 ? stop : -ESRCH;
}

static int set_extended(struct plan *plan, struct plan_task *task, struct plan_thread *thread)
{
	return tracee_set_xstate(thread->tid, thread->regs->xstate, thread->regs->xstate_len);
}

static uint64_t sigmask_of(const struct plan_task *task, const struct plan_thread *thread)
{
	const ThreadCoreEntry *e = thread->core->thread_core;

	return thread == task->threads ? task->core->blk_sigset : e->has_blk_sigset ? e->blk_sigset : 0;
}

/* Descriptors first: selectors refer to them. A thread has none at the start. */
static int set_tls(const struct plan_thread *thread)
{
	for (size_t i = 0; i < TLS_ENTRIES; i++) {
		const struct user_desc *d = &thread->regs->tls[i];

		if (d->seg_not_present && d->read_exec_only && !d->base_addr && !d->limit && !d->contents)
			continue;
		if (ptrace(PTRACE_SET_THREAD_AREA, thread->tid, d->entry_number, d))
			return log_errno(errno, "can't set thread area %u of thread %d", d->entry_number, thread->tid);
	}
	return 0;
}

/* After this only signals stand between the thread and its next instruction, and they are its own. */
static int set_last(struct plan *plan, struct plan_task *task, struct plan_thread *thread)
{
	const RseqEntry *rseq = thread->core->thread_core->rseq_entry;

	/* No system call is to be restarted: the image says where the thread goes on. */
	thread->regs->general.orig_rax = -1;
	int err = set_tls(thread);
	if (!err)
		err = tracee_set_regs(thread->tid, &thread->regs->general);
	if (!err && rseq && rseq->rseq_abi_pointer && rseq->has_rseq_cs_pointer && rseq->rseq_cs_pointer)
		err = tracee_write(thread->tid, rseq->rseq_abi_pointer + RSEQ_CS_OFFSET, &rseq->rseq_cs_pointer,
				   sizeof(rseq->rseq_cs_pointer));
	if (!err)
		err = tracee_set_sigmask(thread->tid, sigmask_of(task, thread));
	return err ? log_errno(-err, "can't set the last state of thread %d", thread->tid) : 0;
}

static uint64_t find_bytes(const struct plan *plan, const struct plan_task *task, const uint8_t bytes[2])
{
	const uint8_t *at = memmem(restorer_blob, restorer_blob_end - restorer_blob, bytes, 2);

	return plan->shared->slots[task->index].block_start + (at - restorer_blob);
}

/* Where the blob of the task has a system call instruction. */
static uint64_t instruction(const struct plan *plan, const struct plan_task *task)
{
	static const uint8_t syscall_bytes[] = { 0x0f, 0x05 };

	return find_bytes(plan, task, syscall_bytes);
}

static int failed_call(const struct plan_task *task, long nr, int64_t result)
{
	return log_errno((int)-result, "system call %ld in task %d", nr, task->pid);
}

/* The thread that works for us to the end. */
static pid_t worker(const struct plan_task *task)
{
	return task->threads[task->main_exited].tid;
}

/* A system call by a thread, at an instruction of the blob. Returns 0 with its result, or -errno (logged). */
static int try_call(struct plan *plan, const struct plan_task *task, pid_t tid, long nr, const uint64_t args[6],
		    int64_t *result)
{
	struct user_regs_struct regs;
	int err = tracee_get_regs(tid, &regs);

	return err ? err : tracee_syscall(tid, &regs, instruction(plan, task), regs.rsp, nr, args, result);
}

/* The same when it must succeed. */
static int call(struct plan *plan, const struct plan_task *task, pid_t tid, long nr, const uint64_t args[6])
{
	int64_t result = 0;
	int err = try_call(plan, task, tid, nr, args, &result);

	return err ? err : result < 0 ? failed_call(task, nr, result) : 0;
}

/* The same by the number of 32-bit programs. The code that makes it is 64-bit code nevertheless. */
static int call_compat(struct plan *plan, const struct plan_task *task, pid_t tid, long nr, const uint64_t args[6])
{
	static const uint8_t int80[] = { 0xcd, 0x80 };
	struct user_regs_struct regs;
	int64_t result = 0;
	int err = tracee_get_regs(tid, &regs);

	if (err)
		return err;
	regs.rbx = args[0];
	regs.rcx = args[1];
	err = tracee_syscall(tid, &regs, find_bytes(plan, task, int80), regs.rsp, nr,
			     (uint64_t[6]){ 0, args[3], args[2] }, &result);
	return err ? err : result < 0 ? failed_call(task, nr, result) : 0;
}

/* Whether children will be stopped, which the task must not hear of: it did long ago. */
static bool has_muted_children(const struct plan *plan, const struct plan_task *task)
{
	for (const struct plan_task *c = task->children; c; c = c->next)
		if (task_ends_stopped(plan, c))
			return true;
	return false;
}

static int begin_leaving(struct plan *plan, struct plan_task *task)
{
	const struct restorer_slot *slot = &plan->shared->slots[task->index];
	const uint64_t args[6] = { slot->block_start, slot->block_end - slot->block_start };
	struct user_regs_struct regs;
	int err = tracee_get_regs(worker(task), &regs);

	return err ? err
		   : tracee_syscall_begin(worker(task), &regs, instruction(plan, task), regs.rsp, SYS_munmap, args);
}

static int end_leaving(struct plan *plan, struct plan_task *task)
{
	int64_t result = 0;
	int err = tracee_syscall_end(worker(task), &result);

	return err ? err : result < 0 ? failed_call(task, SYS_munmap, result) : 0;
}

/*
 * The blob goes, by a call at whose exit the leader is held: it never returns into what is no more. All do that
 * at the same time, but those who have another call to make first.
 */
static int leave_together(struct plan *plan)
{
	int err = 0;

	for (int step = 0; step < 3; step++) {
		for (size_t i = 0; !err && i < plan->n_tasks; i++) {
			struct plan_task *task = &plan->tasks[i];

			if (!plan_lives(task) || has_muted_children(plan, task))
				continue;
			err = step == 0	  ? begin_leaving(plan, task)
			      : step == 1 ? tracee_syscall_enter(worker(task))
					  : end_leaving(plan, task);
		}
	}
	return err;
}

/* All children have stopped: from now on the task may hear of them. */
static int leave_alone(struct plan *plan, struct plan_task *task)
{
	const uint64_t args[6] = { SIGCHLD, plan->shared->slots[task->index].sigchld, 0, sizeof(uint64_t) };
	int err = task->compat ? call_compat(plan, task, worker(task), COMPAT_rt_sigaction, args)
			       : call(plan, task, worker(task), SYS_rt_sigaction, args);

	if (!err)
		err = begin_leaving(plan, task);
	if (!err)
		err = tracee_syscall_enter(worker(task));
	return err ? err : end_leaving(plan, task);
}

static int close_guard(struct plan *plan)
{
	const uint64_t args[6] = { plan->fd_high };

	return plan->guard_fd >= 0 ? call(plan, &plan->tasks[0], worker(&plan->tasks[0]), SYS_close, args) : 0;
}

/* Has the task make a userfaultfd for who tracks it. When that cannot be done, it is not tracked. */
static int fetch_uffd(struct plan *plan, struct plan_task *task)
{
	const uint64_t flags[6] = { O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY };
	int64_t fd = 0;
	int err = try_call(plan, task, worker(task), SYS_userfaultfd, flags, &fd);

	if (err || fd < 0) {
		if (!err)
			log_info("task %d cannot be tracked: userfaultfd: %s", task->pid, strerror(-fd));
		return err;
	}
	_cleanup_close_ int pidfd = pidfd_open(task->pid, 0);
	plan->uffds[task->index] = pidfd < 0 ? -1 : pidfd_getfd(pidfd, fd, 0);
	return call(plan, task, worker(task), SYS_close, (uint64_t[6]){ fd });
}

/* Of tasks under seccomp no dump can enter another time without being noticed: they are not tracked. */
static int fetch_uffds(struct plan *plan)
{
	int err = 0;

	if (!plan->track)
		return 0;
	plan->uffds = plan_alloc(plan, plan->n_tasks * sizeof(*plan->uffds));
	if (!plan->uffds)
		return -ENOMEM;
	memset(plan->uffds, 0xff, plan->n_tasks * sizeof(*plan->uffds));
	for (size_t i = 0; i < plan->n_tasks && !err; i++) {
		struct plan_task *task = &plan->tasks[i];

		if (plan_lives(task) && !task->confined && !task->main_exited)
			err = fetch_uffd(plan, task);
	}
	return err ? err : fault_point(FAULT_restore_tracked);
}

static int cont(pid_t tid, int sig)
{
	return ptrace(PTRACE_CONT, tid, 0, sig) ? log_errno(errno, "can't continue thread %d", tid) : 0;
}

static int expect(pid_t tid, enum tracee_stop wanted, int wanted_sig)
{
	int sig = 0, stop = tracee_poll(tid, true, &sig);

	if (stop == (int)wanted && sig == wanted_sig)
		return 0;
	log_err("thread %d stopped in another way than by signal %d (%d, signal %d)", tid, wanted_sig, stop, sig);
	return stop < 0 ? stop : -ESRCH;
}

/*
 * Lets the leader take a signal that stops it. The signals of the keyboard and the terminal are ignored in a
 * group that nobody could continue (an orphaned one, man 3 setpgid): then the leader is at an event stop afterwards.
 * Returns 1 when it is in a group stop, 0 when not, or -errno.
 */
static int take_stop_signal(struct plan_task *task, int sig)
{
	kernel_sigset all_but_this = ~(1ul << (sig - 1));
	pid_t tid = worker(task);

	int err = tracee_set_sigmask(tid, all_but_this);
	if (!err && syscall(SYS_tgkill, task->pid, tid, sig))
		err = log_errno(errno, "can't stop task %d", tid);
	if (!err)
		err = cont(tid, 0);
	if (!err)
		err = expect(tid, STOP_SIGNAL, sig);
	if (!err && sig != SIGSTOP)
		err = tracee_interrupt(tid);
	if (!err)
		err = cont(tid, sig);
	int seen = 0, stop = err ? err : tracee_poll(tid, true, &seen);
	if (stop == STOP_GROUP && seen == sig)
		return 1;
	if (stop == STOP_EVENT && sig != SIGSTOP)
		return 0;
	if (!err)
		log_err("task %d did not stop by signal %d (%d, signal %d)", tid, sig, stop, seen);
	return stop < 0 ? stop : -ESRCH;
}

/*
 * Stops a task by job control: the leader takes the signal, the others follow. Its other signals are still
 * blocked, so that none is delivered that waits for the task to be continued. No thread gets to its own code.
 */
static int stop_task(struct plan *plan, struct plan_task *task)
{
	int sig = task->stop_signal ?: SIGSTOP, err = take_stop_signal(task, sig);

	if (!err && sig != SIGSTOP)
		err = take_stop_signal(task, sig = SIGSTOP);
	if (err < 0)
		return err;
	err = 0;
	for (size_t i = 1 + task->main_exited; !err && i < task->n_threads; i++) {
		err = cont(task->threads[i].tid, 0);
		if (!err)
			err = expect(task->threads[i].tid, STOP_GROUP, sig);
	}
	return err;
}

static int finish_task(struct plan *plan, struct plan_task *task)
{
	int err = has_muted_children(plan, task) ? leave_alone(plan, task) : 0;

	if (!err && task_ends_stopped(plan, task))
		err = stop_task(plan, task);
	for (size_t i = task->main_exited; !err && i < task->n_threads; i++)
		err = set_last(plan, task, &task->threads[i]);
	return err;
}

/* Lets the main thread exit, as it did. When it is gone its number still stands for the task. */
static int exit_main_thread(struct plan *plan, struct plan_task *task)
{
	struct user_regs_struct regs;
	pid_t tid = task->pid;
	int err = tracee_get_regs(tid, &regs);

	if (err)
		return err;
	regs.rip = instruction(plan, task);
	regs.rax = SYS_exit;
	regs.rdi = task->core->exit_code >> 8;
	regs.orig_rax = -1;
	err = tracee_set_regs(tid, &regs);
	/* the others still die with us */
	if (!err && ptrace(PTRACE_SETOPTIONS, tid, 0, 0))
		err = log_errno(errno, "can't let go of the main thread of task %d", tid);
	if (!err)
		err = tracee_detach(tid);
	for (int i = 0; !err && !stage_is_dead(tid); i++) {
		if (i > EXIT_TRIES)
			return log_errno(ETIMEDOUT, "the main thread of task %d does not exit", tid);
		usleep(100);
	}
	return err;
}

/* Threads that were made by one that exits get their parent-death signal: so they ask for it now. */
static int set_pdeath_signals(struct plan *plan, const struct plan_task *task)
{
	int err = 0;

	for (size_t i = task->main_exited; !err && i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;
		const uint64_t args[6] = { PR_SET_PDEATHSIG, task_pdeath_signal(plan, task, e) };

		if (args[1])
			err = call(plan, task, task->threads[i].tid, SYS_prctl, args);
	}
	return err;
}

static int exit_main_threads(struct plan *plan)
{
	int err = 0;

	for (size_t i = 0; !err && i < plan->n_tasks; i++)
		if (plan->tasks[i].main_exited)
			err = exit_main_thread(plan, &plan->tasks[i]);
	for (size_t i = 1; !err && i < plan->n_tasks; i++)
		if (plan->tasks[i].parent->main_exited && plan_lives(&plan->tasks[i]))
			err = set_pdeath_signals(plan, &plan->tasks[i]);
	return err;
}

static int finish_kinds(struct plan *plan)
{
	int err = 0;

	for (size_t i = 0; !err && i < plan->n_files; i++) {
		struct plan_file *file = &plan->files[i];

		if ((file->with->owner || file->map[0].owner || file->map[1].owner) && file->kind->last)
			err = file->kind->last(plan, file);
	}
	return err;
}

int tree_prepare_go(struct plan *plan)
{
	int err = each_thread(plan, seize);

	if (err)
		return err;
	size_t leaders = 0;
	for (size_t i = 0; i < plan->n_tasks; i++)
		if (plan_lives(&plan->tasks[i]))
			leaders += plan->tasks[i].confined ? plan->tasks[i].n_threads : 1;
	stage_begin(plan, STAGE_LEADERS, leaders);
	err = stage_finish(plan);
	log_info("all are seized, leaders have done their last");
	/* All are asked before any is waited for: one after the other takes ten times as long. */
	if (!err)
		err = each_thread(plan, interrupt);
	if (!err)
		err = each_thread(plan, settle);
	log_info("all are stopped");
	if (!err)
		err = fault_point(FAULT_restore_seized);
	if (!err)
		err = each_thread(plan, set_extended);
	if (!err)
		err = fault_point(FAULT_restore_registers_set);
	if (!err)
		err = exit_main_threads(plan);
	if (!err)
		err = close_guard(plan);
	if (!err)
		err = fetch_uffds(plan);
	if (!err)
		err = leave_together(plan);
	/* Children first: when they are stopped their parent may hear of them again. */
	for (size_t i = plan->n_tasks; !err && i-- > 0;)
		if (plan_lives(&plan->tasks[i]))
			err = finish_task(plan, &plan->tasks[i]);
	if (!err)
		err = fault_point(FAULT_restore_blob_unmapped);
	return err ? err : finish_kinds(plan);
}

static int detach(struct plan *plan, struct plan_task *task, struct plan_thread *thread)
{
	if (task->main_exited && thread == task->threads)
		return 0;
	/* Some already run: whoever cannot be let go must not take the others along. */
	if (tracee_detach(thread->tid))
		log_warn("thread %d of task %d was killed at the very end", thread->tid, task->pid);
	return 0;
}

/* Of a tree that is being let go, for whoever watches over that. */
struct witness {
	const struct plan *plan;
	int coordinator; /* pidfd */
	volatile bool done;
};

/*
 * Runs in a process of its own, which shares our memory: should we be killed when a part of the tree runs already, and
 * the rest dies with us (PTRACE_O_EXITKILL), it kills that part, too.
 */
static int watch_over(void *arg)
{
	const struct witness *w = arg;
	struct pollfd p = { .fd = w->coordinator, .events = POLLIN };

	while (poll(&p, 1, -1) < 0)
		;
	for (size_t i = 0; !w->done && i < w->plan->n_tasks; i++)
		if (plan_lives(&w->plan->tasks[i]))
			kill(w->plan->tasks[i].pid, SIGKILL);
	return 0;
}

void tree_go(struct plan *plan)
{
	static _Alignas(16) char stack[16384];
	struct witness w = { .plan = plan, .coordinator = -1 };
	pid_t witness = -1;

	/* The threads of one task live and die together anyway. */
	if (plan->n_tasks > 1)
		w.coordinator = pidfd_open(getpid(), 0);
	if (w.coordinator >= 0)
		witness = clone(watch_over, stack + sizeof(stack), CLONE_VM | SIGCHLD, &w);
	each_thread(plan, detach);
	w.done = true;
	if (witness > 0) {
		kill(witness, SIGKILL);
		while (waitpid(witness, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (w.coordinator >= 0)
		close(w.coordinator);
}
