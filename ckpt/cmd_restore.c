/* ckpt restore: restores a tree; then leaves it alone, or waits and ends as its root does. */
#include "cmd.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "opts.h"
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

int cmd_restore(const struct opts *opts)
{
	pid_t root;

	if (restore_tree(opts, &root))
		return 1;
	log_info("restored, the root is task %d", root);
	/* A sibling is the child of our caller, who waits for it. */
	if (opts->restore_detached || opts->restore_sibling)
		return 0;
	return wait_for(root);
}
