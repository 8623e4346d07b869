/* Children in namespaces of their own. */
#include "e2e.h"

#include <sched.h>

static void child(void *arg)
{
	int flag = *(int *)arg;

	if (unshare(flag))
		skip("unshare: %s", strerror(errno));
	e2e_expect("%d namespace", getpid());
	e2e_child_ready();
	e2e_wait();
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	pid_t a = e2e_fork(child, &(int){ CLONE_NEWUTS }), b = e2e_fork(child, &(int){ CLONE_NEWNET });
	pid_t c = e2e_fork(child, &(int){ CLONE_NEWNS }), d = e2e_fork(child, &(int){ CLONE_NEWIPC });

	e2e_wait();

	e2e_join(a);
	e2e_join(b);
	e2e_join(c);
	e2e_join(d);
	return 0;
}
