/* A chain of 40 generations; each waits for its child, and the exit codes come up through all of them. */
#include "e2e.h"

#define DEPTH 40

static void generation(void *arg)
{
	int left = *(int *)arg - 1, status;
	pid_t pid = left ? e2e_fork(generation, &left) : 0, ppid = getppid();

	e2e_child_ready();
	if (!pid) {
		e2e_wait();
		_exit(1);
	}
	pid_t got;
	while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	must(got == pid && WIFEXITED(status));
	same(getppid(), ppid);
	_exit(WEXITSTATUS(status) + 1);
}

int main(int argc, char **argv)
{
	int status;

	e2e_begin(argc, argv);
	pid_t pid = e2e_fork(generation, &(int){ DEPTH });

	e2e_wait();

	must(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	same(WEXITSTATUS(status), DEPTH);
	return 0;
}
