/*
 * ckpt restore: restores a tree; then leaves it alone, or waits and ends as its root does. With --track-mem a chain of
 * incremental dumps goes on behind it: the tree is tracked from its first instruction on, and its keeper knows the
 * images that it came from, so that the next dump can refer to them.
 */
#include "cmd.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chain.h"
#include "cleanup.h"
#include "log.h"
#include "opts.h"
#include "pagemap.h"
#include "restore.h"

/* Ends this process like the child with the wait status did, as far as that is possible. */
static int end_like(int status)
{
	const struct rlimit none = {};

	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	setrlimit(RLIMIT_CORE, &none); /* the core is the child's affair */
	signal(WTERMSIG(status), SIG_DFL);
	raise(WTERMSIG(status));
	return 128 + WTERMSIG(status);
}

static int wait_for(pid_t root)
{
	int status;

	/* Meant for the job that was restored: it decides whether to end. */
	signal(SIGINT, SIG_IGN);
	signal(SIGQUIT, SIG_IGN);
	while (waitpid(root, &status, 0) < 0)
		if (errno != EINTR)
			return log_errno(errno, "can't wait for task %d", root) ? 1 : 0;
	return end_like(status);
}

static int cannot(pid_t pid, int err)
{
	log_info("task %d cannot be tracked: %s", pid, strerror(-err));
	return err;
}

static int add_task(void *arg, pid_t pid, int uffd)
{
	_cleanup_close_ int owned = uffd, proc = proc_open(pid);
	struct chain *chain = arg;
	struct proc_stat st;
	struct tracker t;
	int err = proc < 0 ? proc : proc_stat(proc, "stat", &st);

	if (!err)
		err = tracker_make(&t, pid, st.start_time, take_fd(&owned));
	if (err)
		return cannot(pid, err);
	err = tracker_look(&t);
	t.unseen = tracker_has_io(&t);
	if (!err)
		return chain_add(chain, t);
	tracker_close(&t, true);
	return cannot(pid, err);
}

static int arm_pages(void *arg, uint64_t start, uint64_t end)
{
	struct chain *chain = arg;
	struct tracker *t = &chain->trackers[chain->n - 1];
	int err = pages_arm_run(t->pagemap, (struct run){ start, end });

	if (!err)
		return 0;
	err = cannot(t->pid, err);
	tracker_close(t, true);
	chain->n--;
	return err;
}

/* The keeper shall be no child of ours, who may wait for the tree. Returns 0 or -errno. */
static int start_keeper(pid_t root, const struct chain *chain)
{
	pid_t pid = fork();
	int status = 0;

	if (!pid)
		_exit(-keeper_start(root, chain));
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static int keep(pid_t root, struct chain *chain, const char *images)
{
	if (!chain->n)
		return -EOPNOTSUPP;
	if (!*images)
		return -ENODATA;
	snprintf(chain->last, sizeof(chain->last), "%s", images);
	chain_check(chain);
	return *chain->last ? start_keeper(root, chain) : 0;
}

/* With --track-mem: the keeper of the tree knows from its first instruction on what it writes. */
static int restore_tracked(const struct opts *opts, pid_t *root)
{
	struct chain chain = {};
	struct restore_track track = { .arg = &chain, .task = add_task, .pages = arm_pages };
	int err = restore_tree(opts, &track, root), kept = err ? 0 : keep(*root, &chain, track.images);

	if (kept)
		log_warn("what the tree writes is not tracked (%s): the next dump will hold all pages",
			 kept == -EOPNOTSUPP ? "that needs Linux 6.7 or later, and no seccomp"
			 : kept == -ENODATA  ? "the images have no id"
					     : strerror(-kept));
	for (size_t i = 0; i < chain.n; i++)
		tracker_close(&chain.trackers[i], true);
	free(chain.trackers);
	return err;
}

int cmd_restore(const struct opts *opts)
{
	pid_t root;

	log_share(); /* all that are made log */
	if (opts->track_mem ? restore_tracked(opts, &root) : restore_tree(opts, NULL, &root))
		return 1;
	log_info("restored, the root is task %d", root);
	/* A sibling is the child of our caller, who waits for it. */
	if (opts->restore_detached || opts->restore_sibling)
		return 0;
	return wait_for(root);
}
