/* Ends a tree that was dumped: as a whole, even when we are killed meanwhile. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "attach.h"
#include "dump.h"
#include "log.h"

/* Collects the ends of all threads, so that nothing of the tree is left when the dump returns. */
static void reap_task(struct dump_task *t)
{
	siginfo_t si;

	for (size_t i = t->n_threads; i-- > 0;)
		while (!waitid(P_PID, t->threads[i].tid, &si, WEXITED | WSTOPPED | __WALL) &&
		       si.si_code != CLD_EXITED && si.si_code != CLD_KILLED && si.si_code != CLD_DUMPED)
			;
}

/* There is nothing left to cure or to let go: with many threads, not to try saves a tenth of the time. */
static void forget_task(struct dump_task *t)
{
	for (size_t i = 0; i < t->n_threads; i++)
		t->threads[i].remote.used = t->threads[i].remote.written = false;
	t->parasite.stage = PARASITE_NONE;
	t->state = TASK_DEAD;
}

#define MUCH (64ul << 20) /* bytes */
#define SMALL_AREA (64ul << 10) /* bytes */

/*
 * The kernel frees the memory of a dying task in that task. We help: it goes page table by page table for both. Where
 * areas are small, we would only be in its way.
 */
static void free_memory(const struct dump *d)
{
	for (size_t i = 0; i < d->stats.n_tasks; i++) {
		const struct task_stats *s = &d->stats.tasks[i];
		const struct dump_task *t = dump_task_by_pid(d, s->pid);

		uint64_t bytes = (s->pages_written + s->pages_parent) * IMAGE_PAGE_SIZE;

		if (t && bytes >= MUCH && bytes / (t->vmas.n + 1) >= SMALL_AREA)
			syscall(SYS_process_mrelease, t->pidfd, 0); /* Linux 5.15; without it, it takes longer */
	}
}

/* Also runs in a process of its own, which shares our memory. Returns its exit status: 0 or an errno. */
static int kill_all(void *arg)
{
	struct dump *d = arg;
	int failed = 0;

	for (size_t i = d->n_tasks; i-- > 0;)
		if (d->tasks[i]->state != TASK_DEAD && pidfd_send_signal(d->tasks[i]->pidfd, SIGKILL, NULL, 0) &&
		    errno != ESRCH)
			failed = errno;
	return failed;
}

/*
 * Should we be killed between two of many, half a tree would go on: another process does it, which nobody knows. At the
 * limit of processes we do it ourselves, for the images are there. Returns 0 or an errno.
 */
static int kill_all_or_none(struct dump *d)
{
	_Alignas(16) char stack[16384];
	size_t alive = 0;
	int status;

	for (size_t i = 0; i < d->n_tasks; i++)
		alive += d->tasks[i]->state != TASK_DEAD;
	pid_t killer = alive < 2 ? -1 : clone(kill_all, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, d);
	if (killer < 0)
		return kill_all(d);
	while (waitpid(killer, &status, 0) < 0)
		if (errno != EINTR)
			return 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

int kill_tree(struct dump *d, void (*meanwhile)(struct dump *d))
{
	collect_ends_often(false);
	int failed = kill_all_or_none(d);

	if (failed)
		return log_errno(failed, "can't kill the tree");
	free_memory(d);
	meanwhile(d);
	for (size_t i = d->n_tasks; i-- > 0;) {
		reap_task(d->tasks[i]);
		forget_task(d->tasks[i]);
	}
	return 0;
}
