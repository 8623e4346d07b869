/* Scheduling: nice values and policies, of processes and of single threads. */
#include "e2e.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

static void check(int nice_value, int policy, int priority)
{
	struct sched_param param;

	same(getpriority(PRIO_PROCESS, gettid()), nice_value);
	same(sched_getscheduler(gettid()), policy);
	must(!sched_getparam(gettid(), &param));
	same(param.sched_priority, priority);
}

static void set(int nice_value, int policy, int priority)
{
	struct sched_param param = { priority };

	if (sched_setscheduler(gettid(), policy, &param) || setpriority(PRIO_PROCESS, gettid(), nice_value))
		skip("policy %d, priority %d, nice %d: %s", policy, priority, nice_value, strerror(errno));
}

static void batch(void *arg)
{
	set(7, SCHED_BATCH, 0);
	e2e_child_ready();
	e2e_wait();
	check(7, SCHED_BATCH, 0);
	_exit(0);
}

static void idle(void *arg)
{
	set(0, SCHED_IDLE, 0);
	e2e_child_ready();
	e2e_wait();
	check(0, SCHED_IDLE, 0);
	_exit(0);
}

static volatile bool thread_ready;

static void *thread(void *arg)
{
	set(12, SCHED_OTHER, 0);
	thread_ready = true;
	e2e_wait();
	check(12, SCHED_OTHER, 0);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t other;

	e2e_begin(argc, argv);
	pid_t a = e2e_fork(batch, NULL), b = e2e_fork(idle, NULL);
	set(-3, SCHED_OTHER, 0);
	must(!pthread_create(&other, NULL, thread, NULL));
	while (!thread_ready)
		e2e_sleep_ms(1);

	e2e_wait();

	check(-3, SCHED_OTHER, 0);
	pthread_join(other, NULL);
	e2e_join(a);
	e2e_join(b);
	return 0;
}
