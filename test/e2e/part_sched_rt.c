/* Real-time policies: SCHED_FIFO and SCHED_RR with priorities. */
#include "e2e.h"

#include <sched.h>

static void run(int policy, int priority)
{
	struct sched_param param = { priority }, now;

	if (sched_setscheduler(0, policy, &param))
		skip("policy %d, priority %d: %s", policy, priority, strerror(errno));
	e2e_child_ready();
	e2e_wait();
	same(sched_getscheduler(0), policy);
	must(!sched_getparam(0, &now));
	same(now.sched_priority, priority);
}

static void child(void *arg)
{
	run(SCHED_RR, 5);
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	pid_t pid = e2e_fork(child, NULL);
	run(SCHED_FIFO, 3);
	e2e_join(pid);
	return 0;
}
