/* Processes that share what only threads usually share: memory. */
#include "e2e.h"

#include <sched.h>

static char stack[2][65536];

static int child(void *arg)
{
	while (!e2e_time_to_check())
		e2e_sleep_ms(3);
	return 0;
}

int main(int argc, char **argv)
{
	static const int flags[] = { CLONE_VM, CLONE_VM | CLONE_SIGHAND };
	int status;

	e2e_begin(argc, argv);
	for (int i = 0; i < 2; i++) {
		pid_t pid = clone(child, stack[i] + sizeof(stack[i]), flags[i] | SIGCHLD, NULL);

		must(pid > 0);
		e2e_expect("%d memory shared", pid);
	}

	e2e_wait();

	for (int i = 0; i < 2; i++)
		must(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}
