/*
 * Attaches to threads (PTRACE_SEIZE, man 2 ptrace), which may be dying or executing a program at that moment, and
 * says what cannot be attached to.
 */
#include "attach.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "opts.h"

/* Survives PTRACE_DETACH of a stopped thread: what a thread was doing is told by its own state alone. */
#define SEIZE_OPTIONS PTRACE_O_TRACESYSGOOD
#define KERNEL_THREAD 0x00200000 /* PF_KTHREAD of flags in /proc/PID/stat */
#define ATTACH_TRIES 50 /* a millisecond apart */

/* Says why a thread cannot be seized. */
static int cannot_seize(struct dump_task *t, pid_t tid, int err)
{
	struct proc_status st = {};
	char name[32];

	snprintf(name, sizeof(name), "task/%d/status", tid);
	if (err == EPERM && !proc_status(t->proc, name, &st) && st.tracer)
		log_err("task %d: thread %d is traced by process %lu (a debugger?): detach that first", t->pid, tid,
			st.tracer);
	else
		log_err("task %d: can't attach to thread %d: %s%s", t->pid, tid, strerror(err),
			err == EPERM ? " (ckpt needs root or CAP_SYS_PTRACE)" : "");
	proc_status_free(&st);
	return -err;
}

/*
 * Whether a thread that cannot be attached to is dead: 1, 0 or -errno. A dead main thread makes the task a
 * zombie; one whose other threads live on is a blocker, and they run on until the refusal. -EAGAIN when one of them
 * may be about to execute a program and so to become the main thread.
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
	t->state = TASK_DEAD;
	if (err || st.threads < 2)
		return 1;
	err = blocker_add(t->dump, t->pid, "dead main thread", "its main thread has exited while others run on",
			  "not supported yet; keep the main thread waiting (pthread_join)", "thread %d", t->pid);
	return err ? err : 1;
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
static bool is_ours(const struct dump_task *t, pid_t tid)
{
	struct proc_status st = {};
	char name[32];

	snprintf(name, sizeof(name), "task/%d/status", tid);
	bool ours = !proc_status(t->proc, name, &st) && st.tracer == (uint64_t)getpid();
	proc_status_free(&st);
	return ours;
}

int attach(struct dump_task *t, pid_t tid)
{
	for (int tries = 1;; tries++) {
		int err = seize(t, tid);
		if (!err || is_ours(t, tid))
			return 1;
		int dead = is_dead(t, tid, tries == ATTACH_TRIES);
		if (dead > 0 || (dead < 0 && dead != -EAGAIN))
			return dead > 0 ? 0 : dead;
		if (tries == ATTACH_TRIES)
			return cannot_seize(t, tid, -err);
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
}

int refuse_root(pid_t root)
{
	_cleanup_close_ int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct proc_stat st;
	char name[32];

	for (pid_t pid = getpid(); proc >= 0 && pid > 0; pid = st.ppid) {
		if (pid == root) {
			log_err("process %d is ckpt itself or an ancestor of it: a tree that ckpt is part of can't be "
				"dumped. Start ckpt from outside of it (another terminal, a service)",
				root);
			return -EINVAL;
		}
		snprintf(name, sizeof(name), "%d/stat", pid);
		if (proc_stat(proc, name, &st))
			break;
	}
	snprintf(name, sizeof(name), "%d/stat", root);
	if (proc < 0 || proc_stat(proc, name, &st) || !(st.flags & KERNEL_THREAD))
		return 0;
	log_err("process %d (%s) is a kernel thread: only programs can be dumped", root, st.comm);
	return -EINVAL;
}
