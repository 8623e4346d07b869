/*
 * Attaches to threads (PTRACE_SEIZE, man 2 ptrace), which may be dying or executing a program at that moment, and
 * says what cannot be attached to.
 */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "kernel_abi.h"
#include "log.h"
#include "opts.h"

/* Survives PTRACE_DETACH of a stopped thread: what a thread was doing is told by its own state alone. */
#define SEIZE_OPTIONS PTRACE_O_TRACESYSGOOD
#define KERNEL_THREAD 0x00200000 /* PF_KTHREAD of flags in /proc/PID/stat */
#define ATTACH_TRIES 50 /* a millisecond apart */
#define EXEC_TRIES 5 /* until one that executes a program has taken the place of its dead main thread */

static pid_t tracer_of(struct dump_task *t, pid_t tid)
{
	struct proc_status st = {};
	char name[32];

	snprintf(name, sizeof(name), "task/%d/status", tid);
	pid_t tracer = proc_status(t->proc, name, &st) ? 0 : st.tracer;
	proc_status_free(&st);
	return tracer;
}

/* A thread is asked for in each pass. */
static bool is_told(const struct dump *d, const char *where)
{
	for (size_t i = 0; i < d->n_blockers; i++)
		if (!strcmp(d->blockers[i].where, where))
			return true;
	return false;
}

/*
 * A thread that somebody else traces runs on until the refusal; with its main thread its whole task is left alone.
 * Returns 0 or -errno (logged).
 */
static int judge_traced(struct dump_task *t, pid_t tid, pid_t tracer)
{
	char where[96], comm[64] = "?", name[32];
	struct proc_stat st;
	_cleanup_close_ int proc = proc_open(tracer);

	if (proc >= 0 && !proc_stat(proc, "stat", &st))
		snprintf(comm, sizeof(comm), "%s", st.comm);
	snprintf(name, sizeof(name), "thread %d", tid);
	snprintf(where, sizeof(where), "%s, tracer %d (%s)", name, tracer, comm);
	if (tid == t->pid)
		t->state = TASK_DEAD;
	if (is_told(t->dump, where))
		return 0;
	return blocker_add(t->dump, t->pid, "traced", "another process traces it (a debugger, strace)",
			   "detach the tracer first", "%s", where);
}

/* Says why a thread cannot be seized. Returns 0 when that is a blocker, or -errno. */
static int cannot_seize(struct dump_task *t, pid_t tid, int err)
{
	pid_t tracer = err == EPERM ? tracer_of(t, tid) : 0;

	if (tracer)
		return judge_traced(t, tid, tracer);
	log_err("task %d: can't attach to thread %d: %s%s", t->pid, tid, strerror(err),
		err == EPERM ? " (ckpt needs root or CAP_SYS_PTRACE)" : "");
	return -err;
}

/*
 * Whether a thread that cannot be attached to is dead: 1, 0 or -errno. A dead main thread makes the task a
 * zombie, unless its other threads live on. -EAGAIN when one of them may be about to execute a program and so to become
 * the main thread.
 */
static int is_dead(struct dump_task *t, pid_t tid, bool last_try)
{
	struct proc_stat st;
	char name[32];

	snprintf(name, sizeof(name), "task/%d/stat", tid);
	int err = proc_stat(t->proc, name, &st);
	if (err && err != -ESRCH)
		return err;
	if (!err && st.state != 'Z' && st.state != 'X')
		return 0;
	if (tid != t->pid)
		return 1;
	if (!err && st.threads > 1 && !last_try)
		return -EAGAIN;
	t->main_exited = !err && st.threads > 1;
	if (!t->main_exited)
		t->state = TASK_DEAD;
	return 1;
}

/* The task that a thread of is being seized: a signal handler has no argument. */
static struct dump_task *volatile seizing;

/*
 * Seizing a thread waits while another one of its task executes a program, and that waits until all others are gone:
 * those that we hold must be collected by us, in the middle of the call (man 2 ptrace, BUGS). Whoever waits for
 * them later learns that they are gone.
 */
static void collect_ends(int sig)
{
	const struct dump_task *t = seizing;
	int saved_errno = errno;

	for (size_t i = 0; t && i < t->n_threads; i++)
		tracee_poll(t->threads[i].tid, false, NULL);
	errno = saved_errno;
}

void collect_ends_often(bool on)
{
	const struct sigaction action = { .sa_handler = on ? collect_ends : SIG_IGN };
	const struct timeval often = { .tv_usec = on ? 20000 : 0 };

	if (on)
		sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &(struct itimerval){ often, often }, NULL);
	if (!on)
		sigaction(SIGALRM, &action, NULL);
}

static int seize(struct dump_task *t, pid_t tid)
{
	seizing = t;
	int err = tracee_seize(tid, SEIZE_OPTIONS);
	seizing = NULL;
	return err;
}

/* Whether we hold it already, under the number that it had before it executed a program. */
static bool is_ours(struct dump_task *t, pid_t tid)
{
	return tracer_of(t, tid) == getpid();
}

bool attach_at_once(pid_t pid)
{
	return !tracee_seize(pid, SEIZE_OPTIONS) && !tracee_interrupt(pid);
}

int attach(struct dump_task *t, pid_t tid)
{
	for (int tries = 1;; tries++) {
		int err = seize(t, tid);
		if (!err || is_ours(t, tid))
			return 1;
		int dead = is_dead(t, tid, tries >= EXEC_TRIES);
		if (dead > 0 || (dead < 0 && dead != -EAGAIN))
			return dead > 0 ? 0 : dead;
		if (tries == ATTACH_TRIES)
			return cannot_seize(t, tid, -err);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
}

bool is_worker(const struct dump_task *t, pid_t tid)
{
	struct robust_list_head *list = NULL;
	struct proc_stat st;
	size_t len;
	char name[32];

	/* which threads of programs have, nearly always: a file of /proc takes longer */
	if (!syscall(SYS_get_robust_list, tid, &list, &len) && list)
		return false;
	snprintf(name, sizeof(name), "task/%d/stat", tid);
	return !proc_stat(t->proc, name, &st) && st.flags & WORKER_THREAD;
}

/* The child that a thread waits for in vfork(2), with which it shares its memory; or 0. */
static pid_t vfork_child(const struct dump_task *t, pid_t tid)
{
	_cleanup_free_ int *pids = NULL;
	char name[48];
	size_t n;

	snprintf(name, sizeof(name), "task/%d/children", tid);
	if (proc_numbers(t->proc, name, &pids, &n))
		return 0;
	for (size_t i = 0; i < n; i++)
		if (!syscall(SYS_kcmp, tid, pids[i], KCMP_VM, 0, 0))
			return pids[i];
	return 0;
}

void say_why_it_runs(const struct dump_task *t, pid_t tid)
{
	pid_t child = vfork_child(t, tid);

	if (child)
		log_err("task %d: thread %d did not stop within %u s: it waits in vfork() until its child %d executes "
			"a "
			"program or ends. Try again later, or with a larger --timeout",
			t->pid, tid, t->dump->opts->timeout, child);
	else
		log_err("task %d: thread %d did not stop within %u s: it may wait for a device, or be frozen by its "
			"cgroup. Try again later, or with a larger --timeout",
			t->pid, tid, t->dump->opts->timeout);
}

bool main_is_dead(const struct dump_task *t)
{
	struct proc_stat st;

	return !proc_stat(t->proc, "stat", &st) && st.state == 'Z';
}

int open_pidfd(pid_t pid)
{
	int fd = pidfd_open(pid, 0);

	if (fd < 0 && (errno == EINVAL || errno == ENOENT)) /* it is no main thread */
		fd = pidfd_open(pid, PIDFD_THREAD);
	return fd < 0 ? -errno : fd;
}

int take_other_member(struct dump_task *t)
{
	char name[32];

	snprintf(name, sizeof(name), "task/%d/stat", t->pid);
	int err = proc_stat(t->proc, name, &t->main_stat);

	if (err || t->state == TASK_DEAD)
		return err;
	int proc = proc_open(t->threads[0].tid), pidfd = open_pidfd(t->threads[0].tid);
	if (proc >= 0 && pidfd >= 0) {
		close(t->proc);
		close(t->pidfd);
		t->proc = proc;
		t->pidfd = pidfd;
		t->member = t->threads[0].tid;
		return 0;
	}
	if (proc >= 0)
		close(proc);
	if (pidfd >= 0)
		close(pidfd);
	t->untouchable = true;
	return blocker_add(t->dump, t->pid, "dead main thread",
			   "its main thread has exited while others run on, whose descriptors cannot be reached",
			   "use Linux 6.9 or later, or keep the main thread waiting (pthread_join)", "thread %d",
			   t->pid);
}

/* Nobody descends from a process of one thread that has no children: to see that is quicker than to go through ours. */
static bool has_children(int proc, pid_t pid, const struct proc_stat *st)
{
	_cleanup_free_ char *text = NULL;
	char name[48];
	size_t len = 0;

	snprintf(name, sizeof(name), "%d/task/%d/children", pid, pid);
	return st->threads != 1 || proc_read(proc, name, &text, &len) || len;
}

static bool is_ancestor(int proc, pid_t root)
{
	struct proc_stat st;
	char name[32];

	for (pid_t pid = getpid(); pid > 0; pid = st.ppid) {
		if (pid == root)
			return true;
		snprintf(name, sizeof(name), "%d/stat", pid);
		if (proc_stat(proc, name, &st))
			return false;
	}
	return false;
}

int refuse_root(pid_t root)
{
	_cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct proc_stat st;
	char name[32];

	snprintf(name, sizeof(name), "%d/stat", root);
	if (proc < 0 || proc_stat(proc, name, &st))
		return 0;
	if (root == getpid() || (has_children(proc, root, &st) && is_ancestor(proc, root))) {
		log_err("process %d is ckpt itself or an ancestor of it: a tree that ckpt is part of can't be dumped. "
			"Start ckpt from outside of it (another terminal, a service)",
			root);
		return -EINVAL;
	}
	if (!(st.flags & KERNEL_THREAD))
		return 0;
	log_err("process %d (%s) is a kernel thread: only programs can be dumped", root, st.comm);
	return -EINVAL;
}
