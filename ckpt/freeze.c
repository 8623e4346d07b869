/*
 * Stops a process tree and lets it go on: PTRACE_SEIZE and PTRACE_INTERRUPT (man 2 ptrace) for every thread,
 * pass after pass until one finds nothing new. All are asked before any is waited for: a thousand threads
 * stop in a few milliseconds that way.
 *
 * Stopped and dead tasks are states, not errors. Does not handle: groups frozen by the cgroup freezer.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "attach.h"
#include "cleanup.h"
#include "dump.h"
#include "fault.h"
#include "log.h"
#include "opts.h"
#include "time_us.h"
#include "tree_look.h"
#include "vdso.h"

#define RUNNING_LOOKED_AT 8

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
		free(t->threads[i].cpus);
	}
	free(t->threads);
	free(t->shared_pending.info);
	free(t->timers);
	free(t->vma_files);
	free(t->files_of == t ? t->fds : NULL);
	vma_list_free(&t->vmas);
	free(t->guards.r);
	free(t->rings);
	free(t->told);
	free(t->told_areas);
	free(t->told_fds);
	if (t->parasite.mem >= 0)
		close(t->parasite.mem);
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

	collect_ends_often(false);
	for (size_t i = 0; i < d->n_tasks; i++) {
		struct dump_task *t = d->tasks[i];

		for (size_t j = 0; j < t->n_threads && t->state != TASK_DEAD; j++)
			tracee_detach(t->threads[j].tid);
		task_free(t);
	}
	seccomp_free(d); /* filters belong to tasks */
	free(take_ptr(d->tasks));
	free(take_ptr(d->threads));
	d->n_tasks = d->n_threads = 0;
}

struct dump_task *dump_task_by_pid(const struct dump *d, pid_t pid)
{
	for (size_t i = 0; i < d->n_tasks; i++)
		if (d->tasks[i]->pid == pid)
			return d->tasks[i];
	return NULL;
}

/* Makes a thread known that is attached to. Returns 0 or -ENOMEM. */
static int add_thread(struct dump_task *t, pid_t tid)
{
	if (!(t->n_threads & (t->n_threads - 1))) {
		size_t room = t->n_threads ? t->n_threads * 2 : 1;
		struct dump_thread *threads = realloc(t->threads, room * sizeof(*threads));

		if (!threads)
			return log_errno(ENOMEM, "task %d", t->pid);
		t->threads = threads;
	}
	t->threads[t->n_threads++] = (struct dump_thread){ .task = t, .tid = tid };
	return 0;
}

/* Attaches to a thread and asks it to stop. Returns 1, 0 when there is nothing to attach to, or -errno. */
static int seize_thread(struct dump_task *t, pid_t tid)
{
	int attached = attach(t, tid);

	if (attached <= 0)
		return attached;
	tracee_interrupt(tid);
	int err = add_thread(t, tid);
	return err ? err : 1;
}

static bool has_thread(const struct dump_task *t, pid_t tid)
{
	/* both lists ascend, nearly always */
	for (size_t i = t->n_threads; i-- > 0;)
		if (t->threads[i].tid == tid)
			return true;
	return false;
}

/* Whether the task has as many threads as are known: the directory tells without being read. */
static bool has_no_other_threads(const struct dump_task *t)
{
	struct stat st;

	return !fstatat(t->proc, "task", &st, 0) && st.st_nlink == 2 + t->n_threads;
}

/* Seizes the threads that are new since the last pass. Returns how many, or -errno. */
static int seize_new_threads(struct dump_task *t)
{
	_cleanup_free_ int *tids = NULL;
	size_t n;

	if (has_no_other_threads(t))
		return 0;
	bool workers;
	int found = 0, err = tree_threads(t, &tids, &n, &workers);
	if (err == -ESRCH)
		return 0;
	for (size_t i = 0, known = 0; i < n && err >= 0; i++) {
		if (known < t->n_threads && t->threads[known].tid == tids[i]) {
			known++;
			continue;
		}
		if (has_thread(t, tids[i]) || (tids[i] == t->pid ? t->main_exited : workers && is_worker(t, tids[i])))
			continue;
		err = seize_thread(t, tids[i]);
		if (err > 0) {
			found++;
			known = t->n_threads;
		}
	}
	return err < 0 ? err : found;
}

/* A task that ended leaves its children to others, whose children may have been read before. */
static void look_for_children(struct dump *d)
{
	d->restless = true;
	for (size_t i = 0; i < d->n_tasks; i++)
		d->tasks[i]->complete = false;
}

/* Makes a task known and stops its main thread. Returns 1, 0 when it is no more, or -errno. */
static int add_task(struct dump *d, pid_t pid, struct dump_task *parent)
{
	if (!(d->n_tasks & (d->n_tasks - 1))) {
		size_t room = d->n_tasks ? d->n_tasks * 2 : 1;
		struct dump_task **tasks = realloc(d->tasks, room * sizeof(*tasks));

		if (!tasks)
			return log_errno(ENOMEM, "task list");
		d->tasks = tasks;
	}
	/* at once: it may be one of a family whose members fork the next and end */
	bool held = parent && attach_at_once(pid);
	struct dump_task *t = calloc(1, sizeof(*t));
	if (!t)
		return log_errno(ENOMEM, "task %d", pid);
	t->dump = d;
	t->pid = t->member = pid;
	t->parent = parent;
	t->state = TASK_ALIVE;
	t->pidfd = -1;
	t->parasite.socket = t->parasite.mem = -1;
	t->proc = proc_open(pid);
	if (t->proc >= 0)
		t->pidfd = pidfd_open(pid, 0);
	if (t->proc < 0 || t->pidfd < 0) {
		int err = t->proc < 0 ? t->proc : -errno;

		task_free(t);
		look_for_children(d);
		return err == -ESRCH ? 0
				     : log_errno(-err, "can't open process %d%s", pid,
						 err == -ENOENT || err == -EINVAL ? " (is it a single thread? Give the "
										    "process that it belongs to)"
										  : "");
	}
	d->tasks[d->n_tasks++] = t;
	int err = held ? add_thread(t, pid) : seize_thread(t, pid);
	if (t->n_threads || err < 0)
		return err < 0 ? err : 1;
	if (t->state == TASK_DEAD) { /* there may be many */
		close(t->pidfd);
		t->pidfd = -1;
	}
	look_for_children(d);
	return 1;
}

/* Adds those of the processes that are new. Returns how many, or -errno. */
static int add_new_tasks(struct dump *d, struct dump_task *parent, const int *pids, size_t n)
{
	int found = 0;

	for (size_t i = 0; i < n; i++) {
		int added = dump_task_by_pid(d, pids[i]) ? 0 : add_task(d, pids[i], parent);

		if (added < 0)
			return added;
		found += added;
	}
	return found;
}

/* Adds the children of a task that are new. Returns how many, or -errno. */
static int add_new_children(struct dump *d, struct dump_task *t, const struct families *f)
{
	_cleanup_free_ int *pids = NULL;
	size_t n;
	int err = tree_children(t, f, &pids, &n);

	if (err)
		return err == -ESRCH ? 0 : err;
	return add_new_tasks(d, t, pids, n);
}

/* What is known of the threads may not be true any more: they are looked at again. */
static void look_again(struct dump_task *t)
{
	if (t->state == TASK_STOPPED)
		t->state = TASK_ALIVE;
	for (size_t i = 0; i < t->n_threads; i++) {
		remote_free(&t->threads[i].remote);
		t->threads[i].remote = (struct remote){};
	}
}

/*
 * There was no main thread: it had exited, or was the last. Now all may have, or another one has executed a program and
 * takes its place.
 */
static int find_main_thread(struct dump_task *t)
{
	t->main_exited = false;
	int seized = seize_thread(t, t->pid);
	if (!seized && !t->main_exited)
		t->state = TASK_DEAD;
	return seized < 0 ? seized : 0;
}

/*
 * A thread that is gone is forgotten. Its children have a new parent, which may be one whose children were read
 * before. When it is gone because another one executed a program, the main thread is not the one that stopped. The last
 * thread takes the task along, unless it was one that we do not know yet that executed a program.
 */
static int forget_thread(struct dump_task *t, size_t i)
{
	remote_free(&t->threads[i].remote);
	memmove(&t->threads[i], &t->threads[i + 1], (t->n_threads - i - 1) * sizeof(t->threads[0]));
	t->n_threads--;
	look_again(t);
	look_for_children(t->dump);
	if (t->n_threads)
		return 0;
	return find_main_thread(t);
}

/* Reads the state of a thread that stands. Where it must go on for a moment, its remote.tid stays 0. */
static int capture(struct dump_task *t, struct dump_thread *th, int stop, int sig)
{
	if (stop == STOP_GROUP) {
		t->state = TASK_STOPPED;
		t->stop_signal = sig;
	}
	int err = remote_capture(&th->remote, th->tid);
	if (err || (stop == STOP_EVENT && vdso_let_out(th))) {
		remote_free(&th->remote);
		th->remote = (struct remote){};
	}
	return err;
}

/*
 * Looks at each thread that does not stand yet, until so many have been found to run. Returns how many those are, or
 * -errno.
 */
static int settle_once(struct dump_task *t, int most)
{
	int running = 0;

	for (size_t i = 0; i < t->n_threads && running < most; i++) {
		struct dump_thread *th = &t->threads[i];
		int sig = 0;

		if (th->remote.tid)
			continue;
		int stop = tracee_settle(th->tid, false, &sig);
		int err = stop == STOP_EXITED ? -ESRCH : stop < 0 ? stop : 0;
		bool gone = err == -ESRCH;
		if (!err && stop != STOP_NONE) {
			err = capture(t, th, stop, sig);
			running += !err && !th->remote.tid;
		}
		/* one that is just being killed has an end to be collected yet: else its main thread never shows its
		 * own */
		if (stop == STOP_NONE || (err == -ESRCH && !gone)) {
			running++;
			err = 0;
		}
		if (gone) {
			err = forget_thread(t, i);
			running = 0;
			i = -1; /* all are to be looked at again */
		}
		if (err)
			return err;
	}
	return running;
}

static void say_who_runs(const struct dump *d)
{
	for (size_t i = 0; i < d->n_tasks; i++)
		for (size_t j = 0; j < d->tasks[i]->n_threads; j++)
			if (!d->tasks[i]->threads[j].remote.tid)
				say_why_it_runs(d->tasks[i], d->tasks[i]->threads[j].tid);
}

static int settle_all(struct dump *d, uint64_t deadline)
{
	int most = INT_MAX;
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	for (;;) {
		int running = 0, err = interrupted();

		for (size_t i = 0; i < d->n_tasks && !err && running < most; i++) {
			int n = settle_once(d->tasks[i], most - running);

			err = n < 0 ? n : 0;
			running += n;
		}
		if (err || !running)
			return err;
		if (time_us() > deadline) {
			say_who_runs(d);
			return -ETIMEDOUT;
		}
		/* they stop in the order in which they were asked, nearly always: to look at all each time would take
		 * longer than they do */
		int stopped = sigtimedwait(&child, NULL, &(struct timespec){ .tv_nsec = 10000000 });
		most = stopped < 0 ? INT_MAX : RUNNING_LOOKED_AT;
	}
}

/*
 * A stopped task makes no more threads and children: once it shows no new thread, it is complete but for its children,
 * which are to be read then. Returns 0 or -errno.
 */
static int close_task(struct dump_task *t)
{
	int found = seize_new_threads(t);

	if (found != 0)
		return found < 0 ? found : 0;
	/* one that was not known yet may have executed a program: then it is the main thread now */
	if (t->main_exited && (!t->n_threads || !main_is_dead(t)))
		return find_main_thread(t);
	int stop = tracee_poll(t->main_exited ? t->threads[0].tid : t->pid, false, NULL);
	if (stop != STOP_EVENT && stop != STOP_GROUP)
		look_again(t);
	else
		t->complete = t->closed = true;
	return 0;
}

/* Adds the children of a task that was closed. No task is complete, if one of the children ends right now. */
static int add_family(struct dump *d, struct dump_task *t, const struct families *f)
{
	int found = t->closed ? add_new_children(d, t, f) : 0;

	t->closed = false;
	return found < 0 ? found : 0;
}

/* One pass over the tree: all tasks stand. Returns how many tasks were not complete before, or -errno. */
static int freeze_pass(struct dump *d, uint64_t deadline)
{
	struct families f = {};
	size_t n = d->n_tasks;
	int open = 0, err = settle_all(d, deadline);

	if (!err && time_us() > deadline) {
		log_err("the tree makes new tasks faster than they can be stopped; try again with a larger --timeout");
		return -ETIMEDOUT;
	}
	for (size_t i = 0; i < n; i++)
		open += d->tasks[i]->state != TASK_DEAD && !d->tasks[i]->complete;
	/* all at once takes less time, but longer for each: not where the next one is made, and the last one ends */
	bool together = !d->restless && families_wanted(d, open);
	for (size_t i = 0; i < n && !err; i++) {
		struct dump_task *t = d->tasks[i];

		if (t->state == TASK_DEAD || t->complete)
			continue;
		err = close_task(t);
		if (!err && !together)
			err = add_family(d, t, &f);
	}
	if (!err && together)
		err = families_look(d, &f);
	for (size_t i = 0; i < n && !err && together; i++)
		err = add_family(d, d->tasks[i], &f);
	families_free(&f);
	return err ? err : open;
}

/* Reads where each task stands, and drops those that died and were reaped meanwhile. */
static int read_stats(struct dump *d)
{
	size_t kept = 0;
	int err = 0;

	d->n_threads = 0;
	for (size_t i = 0; i < d->n_tasks; i++) {
		struct dump_task *t = d->tasks[i];
		if (!err && t->main_exited)
			err = take_other_member(t);
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

/* Who is whose parent, now that nothing moves: tasks that ended meanwhile left their children to others. */
static int find_parents(struct dump *d)
{
	for (size_t i = 1; i < d->n_tasks; i++) {
		struct dump_task *t = d->tasks[i];

		t->parent = dump_task_by_pid(d, t->stat.ppid);
		if (t->parent)
			continue;
		t->parent = d->tasks[0];
		int err = blocker_add(d, t->pid, "orphan",
				      "its parent ended during the dump, a process outside the tree adopted it",
				      "try again", "parent %d", t->stat.ppid);
		if (err)
			return err;
	}
	return 0;
}

/* Parents before children, otherwise as they were found. */
static void sort_tasks(struct dump *d)
{
	for (size_t i = 1; i < d->n_tasks;) {
		struct dump_task *t = d->tasks[i];
		size_t at = i;

		for (size_t j = i + 1; j < d->n_tasks; j++)
			if (d->tasks[j] == t->parent)
				at = j;
		if (at == i) {
			i++;
			continue;
		}
		memmove(&d->tasks[i], &d->tasks[i + 1], (at - i) * sizeof(t));
		d->tasks[at] = t;
	}
}

/* The threads of all tasks in one list. */
static int list_threads(struct dump *d)
{
	size_t n = 0;

	d->threads = calloc(d->n_threads + 1, sizeof(*d->threads));
	if (!d->threads)
		return log_errno(ENOMEM, "list of threads");
	for (size_t i = 0; i < d->n_tasks; i++)
		for (size_t j = 0; j < d->tasks[i]->n_threads; j++)
			d->threads[n++] = &d->tasks[i]->threads[j];
	return 0;
}

int freeze_tree(struct dump *d)
{
	int found, err = refuse_root(d->opts->tree);

	if (!err)
		err = undo_reserve(&d->undo);
	if (err)
		return err;
	undo_push(&d->undo, release_tree, d);
	d->freeze_start = time_us();
	uint64_t deadline = d->freeze_start + (d->opts->timeout ?: 10) * 1000000ull;
	d->restless = false;
	found = add_task(d, d->opts->tree, NULL);
	if (found == 0)
		return log_errno(ESRCH, "there is no process %d", d->opts->tree);
	collect_ends_often(true);
	while (found > 0)
		found = freeze_pass(d, deadline);
	if (found < 0)
		return found;
	err = read_stats(d);
	if (!err)
		err = find_parents(d);
	if (err)
		return err;
	sort_tasks(d);
	err = list_threads(d);
	if (err)
		return err;
	if (!d->n_tasks || (d->tasks[0]->state == TASK_DEAD && !d->n_blockers))
		return log_errno(ESRCH, "process %d is a zombie: there is nothing to dump", d->opts->tree);
	d->stats.freezing_time = time_us() - d->freeze_start;
	log_info("froze %zu tasks with %zu threads in %lu us", d->n_tasks, d->n_threads, d->stats.freezing_time);
	err = seccomp_spare_sleepers(d);
	return err ? err : fault_point(FAULT_dump_seized);
}
