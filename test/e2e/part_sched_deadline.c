/* Deadline scheduling of a thread, and a policy that children do not inherit. */
#include "e2e.h"

#include <pthread.h>
#include <sched.h>

#define DEADLINE 6

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static pthread_barrier_t barrier;

static void *thread(void *arg)
{
	struct attr a = { .size = sizeof(a),
			  .policy = DEADLINE,
			  .flags = 1 | 2, /* RESET_ON_FORK, RECLAIM */
			  .runtime = 2000000,
			  .deadline = 30000000,
			  .period = 40000000 },
		    now = {};

	if (syscall(SYS_sched_setattr, 0, &a, 0))
		skip("SCHED_DEADLINE: %s", strerror(errno));
	pthread_barrier_wait(&barrier);
	e2e_wait();
	must(!syscall(SYS_sched_getattr, 0, &now, sizeof(now), 0));
	same(now.policy, DEADLINE);
	same(now.flags, a.flags);
	same(now.runtime, a.runtime);
	same(now.deadline, a.deadline);
	same(now.period, a.period);
	return NULL;
}

static void resets(void *arg)
{
	struct sched_param p = { .sched_priority = 3 };

	if (sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &p))
		skip("SCHED_RR: %s", strerror(errno));
	e2e_child_ready();
	e2e_wait();
	same(sched_getscheduler(0), SCHED_RR | SCHED_RESET_ON_FORK);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t t;

	e2e_begin(argc, argv);
	must(!pthread_barrier_init(&barrier, NULL, 2));
	pid_t child = e2e_fork(resets, NULL);
	must(!pthread_create(&t, NULL, thread, NULL));
	pthread_barrier_wait(&barrier);

	e2e_wait();

	pthread_join(t, NULL);
	e2e_join(child);
	return 0;
}
