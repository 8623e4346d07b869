/* Resource limits: soft and hard ones, lowered, in a parent and a child that differ. */
#include "e2e.h"

#include <sys/resource.h>

static const int ids[] = { RLIMIT_CORE, RLIMIT_CPU,	RLIMIT_FSIZE,	 RLIMIT_NOFILE, RLIMIT_STACK,
			   RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_MSGQUEUE, RLIMIT_NPROC,	RLIMIT_SIGPENDING };
#define N (sizeof(ids) / sizeof(ids[0]))

static void run(int divisor)
{
	struct rlimit before[N], now;

	for (size_t i = 0; i < N; i++) {
		must(!getrlimit(ids[i], &before[i]));
		if (before[i].rlim_max == RLIM_INFINITY)
			before[i].rlim_max = (1ul << 40) / divisor;
		else if (i % 2)
			before[i].rlim_max = before[i].rlim_max / divisor + 1;
		before[i].rlim_cur = before[i].rlim_max / 2;
		if (ids[i] == RLIMIT_NOFILE && before[i].rlim_cur < 64)
			before[i].rlim_cur = before[i].rlim_max;
		must(!setrlimit(ids[i], &before[i]));
	}
	e2e_child_ready();
	e2e_wait();
	for (size_t i = 0; i < N; i++) {
		must(!getrlimit(ids[i], &now));
		if (now.rlim_cur != before[i].rlim_cur || now.rlim_max != before[i].rlim_max)
			fail("limit %d is %lu/%lu, not %lu/%lu", ids[i], now.rlim_cur, now.rlim_max, before[i].rlim_cur,
			     before[i].rlim_max);
	}
}

static void child(void *arg)
{
	run(3);
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	pid_t pid = e2e_fork(child, NULL);
	run(2);
	e2e_join(pid);
	return 0;
}
