/*
 * Stops a process tree and lets it go on: PTRACE_SEIZE and PTRACE_INTERRUPT (man 2 ptrace) for every thread,
 * pass after pass until one finds nothing new. All are asked before any is waited for: a thousand threads
 * stop in a few milliseconds that way.
 *
 * Stopped and dead tasks are states, not errors. Does not handle: groups frozen by the cgroup freezer.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "fault.h"
#include "log.h"
#include "opts.h"
#include "time_us.h"

/* Survives PTRACE_DETACH of a stopped thread: what a thread was doing is told by its own state alone. */
#define SEIZE_OPTIONS PTRACE_O_TRACESYSGOOD

int interrupted(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	sigset_t pending;

	if (sigpending(&pending))
		return 0;
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		if (sigismember(&pending, signals[i])) {
			log_err("interrupted by %s: the tree goes on as before", strsignal(signals[i]));
			return -EINTR;
		}
	}
	return 0;
}

static void task_free(struct dump_task *t)
{
	for (size_t i = 0; i < t->n_threads; i++) {
		remote_free(&t->threads[i].remote);
		proc_status_free(&t->threads[i].status);
		free(t->threads[i].pending.info);
	}
	free(t->threads);
	free(t->shared_pending.info);
	free(t->vma_files);
	free(t->fds);
	vma_list_free(&t->vmas);
	if (t->proc >= 0)
		close(t->proc);
	if (t->pidfd >= 0)
		close(t->pidfd);
	free(t);
}

/* The threads that may still be attached. Everything is put back as it was found. */
static void release_tree(void *arg)
{
	struct dump *d = arg;

	for (size_t i = 0; i < d->n_tasks; i++) {
		struct dump_task *t = d->tasks[i];

		for (size_t j = 0; j < t->n_threads; j++)
			tracee_detach(t->threads[j].tid);
		task_free(t);
	}
	free(take_ptr(d->tasks));
	d->n_tasks = 0;
}

static struct dump_task *find_task(const struct dump *d, pid_t pid)
{
	for (size_t i = 0; i < d->n_tasks; i++)
		if (d->tasks[i]->pid == pid)
			return d->tasks[i];
	return NULL;
}

/* Says why a thread cannot be seized. */
static int cannot_seize(struct dump_task *t, pid_t tid, int err)
{
	struct proc_status st = {};
	char name[32];

	snprintf(name, sizeof(name), "task/%d/status", tid);
	if (err == EPERM && !proc_status(t->proc, name, &st) && st.tracer)
		log_err("task %d: thread %d is traced by process %d (a debugger?): detach that first", t->pid, tid,
			st.tracer);
	else
		log_err("task %d: can't attach to thread %d: %s%s", t->pid, tid, strerror(err),
			err == EPERM ? " (ckpt needs root or CAP_SYS_PTRACE)" : "");
	proc_status_free(&st);
	return -err;
}

/* Attaches to a thread and asks it to stop. */
static int seize_thread(struct dump_task *t, pid_t tid)
{
	if (!(t->n_threads & (t->n_threads - 1))) {
		size_t room = t->n_threads ? t->n_threads * 2 : 1;
		struct dump_thread *threads = realloc(t->threads, room * sizeof(*threads));

		if (!threads)
			return log_errno(ENOMEM, "task %d", t->pid);
		t->threads = threads;
	}
	int err = tracee_seize(tid, SEIZE_OPTIONS);
	if (err == -ESRCH)
		return 0; /* it ended meanwhile */
	if (err)
		return cannot_seize(t, tid, -err);
	t->threads[t->n_threads++] = (struct dump_thread){ .tid = tid };
	tracee_interrupt(tid);
	return 1;
}

static bool has_thread(const struct dump_task *t, pid_t tid)
{
	/* both lists ascend, nearly always */
	for (size_t i = t->n_threads; i-- > 0;)
		if (t->threads[i].tid == tid)
			return true;
	return false;
}

/* Seizes the threads that are new since the last pass. Returns how many, or -errno. */
static int seize_new_threads(struct dump_task *t)
{
	_cleanup_free_ int *tids = NULL;
	size_t n;
	int found = 0, err = proc_list(t->proc, "task", &tids, &n);

	if (err == -ESRCH)
		return 0;
	for (size_t i = 0, known = 0; i < n && err >= 0; i++) {
		if (known < t->n_threads && t->threads[known].tid == tids[i]) {
			known++;
			continue;
		}
		if (has_thread(t, tids[i]))
			continue;
		err = seize_thread(t, tids[i]);
		if (err > 0) {
			found++;
			known = t->n_threads;
		}
	}
	return err < 0 ? err : found;
}

/* A dead main thread whose other threads live cannot be attached to; they run on until the refusal. */
static int judge_leader(struct dump_task *t)
{
	if (t->stat.state != 'Z' && t->stat.state != 'X')
		return 0;
	t->state = TASK_DEAD;
	if (t->stat.threads < 2)
		return 0;
	return blocker_add(t->dump, t->pid, "dead main thread", "its main thread has exited while others run on",
			   "not supported yet; keep the main thread waiting (pthread_join)", "thread %d", t->pid);
}

/* Makes a task known; it is seized in the same pass. Returns 1, 0 when it is no more, or -errno. */
static int add_task(struct dump *d, pid_t pid, struct dump_task *parent)
{
	if (!(d->n_tasks & (d->n_tasks - 1))) {
		size_t room = d->n_tasks ? d->n_tasks * 2 : 1;
		struct dump_task **tasks = realloc(d->tasks, room * sizeof(*tasks));

		if (!tasks)
			return log_errno(ENOMEM, "task list");
		d->tasks = tasks;
	}
	struct dump_task *t = calloc(1, sizeof(*t));
	if (!t)
		return log_errno(ENOMEM, "task %d", pid);
	t->dump = d;
	t->pid = pid;
	t->parent = parent;
	t->state = TASK_ALIVE;
	t->pidfd = -1;
	t->parasite.socket = -1;
	t->proc = proc_open(pid);
	int err = t->proc < 0 ? t->proc : proc_stat(t->proc, "stat", &t->stat);
	if (!err) {
		t->pidfd = pidfd_open(pid, 0);
		err = t->pidfd < 0 && errno != ESRCH ? log_errno(errno, "can't open a pidfd of task %d", pid) : 0;
	}
	if (err) {
		task_free(t);
		return err == -ESRCH ? 0 : err;
	}
	d->tasks[d->n_tasks++] = t;
	err = judge_leader(t);
	return err ? err : 1;
}

/* Adds the children of a task that are new. Returns how many, or -errno. */
static int add_new_children(struct dump *d, struct dump_task *t)
{
	int found = 0;

	for (size_t i = 0; i < t->n_threads; i++) {
		_cleanup_free_ int *pids = NULL;
		char name[48];
		size_t n;

		snprintf(name, sizeof(name), "task/%d/children", t->threads[i].tid);
		int err = proc_numbers(t->proc, name, &pids, &n);
		if (err && err != -ESRCH)
			return err;
		for (size_t j = 0; !err && j < n; j++) {
			if (find_task(d, pids[j]))
				continue;
			int added = add_task(d, pids[j], t);
			if (added < 0)
				return added;
			found += added;
		}
	}
	return found;
}

/* A thread that is gone is forgotten; the last one takes the task along. */
static void forget_thread(struct dump_task *t, size_t i)
{
	memmove(&t->threads[i], &t->threads[i + 1], (t->n_threads - i - 1) * sizeof(t->threads[0]));
	if (--t->n_threads == 0)
		t->state = TASK_DEAD;
}

/* Looks at each thread that does not stand yet. Returns how many still run, or -errno. */
static int settle_once(struct dump_task *t)
{
	int running = 0;

	for (size_t i = 0; i < t->n_threads; i++) {
		struct dump_thread *th = &t->threads[i];
		int sig = 0;

		if (th->remote.tid)
			continue;
		int stop = tracee_settle(th->tid, false, &sig);
		if (stop == STOP_NONE) {
			running++;
		} else if (stop == STOP_EXITED || stop == -ESRCH) {
			forget_thread(t, i--);
		} else if (stop < 0) {
			return stop;
		} else {
			if (stop == STOP_GROUP) {
				t->state = TASK_STOPPED;
				t->stop_signal = sig;
			}
			int err = remote_capture(&th->remote, th->tid);
			if (err == -ESRCH)
				forget_thread(t, i--);
			else if (err)
				return err;
		}
	}
	return running;
}

static int settle_all(struct dump *d, uint64_t deadline)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		int running = 0, err = interrupted();

		for (size_t i = 0; i < d->n_tasks && !err; i++) {
			int n = settle_once(d->tasks[i]);

			err = n < 0 ? n : 0;
			running += n;
		}
		if (err || !running)
			return err;
		if (time_us() > deadline) {
			log_err("%d threads did not stop within %u s: they may wait for a child of vfork() or for a "
				"device. "
				"Try again later, or with a larger --timeout",
				running, d->opts->timeout);
			return -ETIMEDOUT;
		}
		sigtimedwait(&child, NULL, &(struct timespec){ .tv_nsec = 10000000 });
	}
}

/* One pass over the tree. Returns how much was new, or -errno. */
static int freeze_pass(struct dump *d, uint64_t deadline)
{
	int found = 0;

	for (size_t i = 0; i < d->n_tasks; i++) {
		struct dump_task *t = d->tasks[i];

		if (t->state == TASK_DEAD)
			continue;
		int threads = seize_new_threads(t);
		if (threads < 0)
			return threads;
		int children = add_new_children(d, t);
		if (children < 0)
			return children;
		found += threads + children;
	}
	int err = found ? settle_all(d, deadline) : 0;
	return err ? err : found;
}

/* Drops the tasks that died and were reaped while the tree was being stopped; reads the stat of all others again. */
static int refresh_tasks(struct dump *d)
{
	size_t kept = 0;
	int err = 0;

	d->n_threads = 0;
	for (size_t i = 0; i < d->n_tasks; i++) {
		struct dump_task *t = d->tasks[i];
		int gone = err ? 0 : proc_stat(t->proc, "stat", &t->stat);

		if (gone == -ESRCH) {
			task_free(t);
			continue;
		}
		err = err ? err : gone;
		d->tasks[kept++] = t;
		d->n_threads += t->n_threads;
	}
	d->n_tasks = kept;
	return err;
}

int freeze_tree(struct dump *d)
{
	int found;

	d->freeze_start = time_us();
	uint64_t deadline = d->freeze_start + (d->opts->timeout ?: 10) * 1000000ull;
	int err = undo_reserve(&d->undo);
	if (err)
		return err;
	undo_push(&d->undo, release_tree, d);
	found = add_task(d, d->opts->tree, NULL);
	if (found == 0)
		return log_errno(ESRCH, "there is no process %d", d->opts->tree);
	while (found > 0)
		found = freeze_pass(d, deadline);
	if (found < 0)
		return found;
	err = refresh_tasks(d);
	if (err)
		return err;
	if (!d->n_tasks || d->tasks[0]->state == TASK_DEAD)
		return log_errno(ESRCH, "process %d is a zombie: there is nothing to dump", d->opts->tree);
	d->stats.freezing_time = time_us() - d->freeze_start;
	log_info("froze %zu tasks with %zu threads in %lu us", d->n_tasks, d->n_threads, d->stats.freezing_time);
	return fault_point(FAULT_dump_seized);
}

/* Collects the ends of all threads, so that nothing of the tree is left when the dump returns. */
static void reap_task(struct dump_task *t)
{
	siginfo_t si;

	for (size_t i = t->n_threads; i-- > 0;)
		while (!waitid(P_PID, t->threads[i].tid, &si, WEXITED | WSTOPPED | __WALL) &&
		       si.si_code != CLD_EXITED && si.si_code != CLD_KILLED && si.si_code != CLD_DUMPED)
			;
}

int kill_tree(struct dump *d)
{
	int err = 0;

	for (size_t i = d->n_tasks; i-- > 0;) {
		struct dump_task *t = d->tasks[i];

		if (t->state == TASK_DEAD)
			continue;
		if (pidfd_send_signal(t->pidfd, SIGKILL, NULL, 0) && errno != ESRCH)
			err = log_errno(errno, "can't kill task %d", t->pid);
	}
	for (size_t i = d->n_tasks; i-- > 0 && !err;)
		reap_task(d->tasks[i]);
	return err;
}
