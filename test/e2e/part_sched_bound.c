/*
 * What binds threads to CPUs and disks: affinity, I/O priority, timer slack, of the process, of a child and of single
 * threads; some that differ from all others, and some that have what everybody has.
 */
#include "e2e.h"

#include <linux/ioprio.h>
#include <pthread.h>
#include <sched.h>

struct bound {
	int cpu; /* -1: any */
	int io_priority;
	unsigned long slack; /* ns */
	volatile bool ready;
};

static cpu_set_t every; /* as it was at the start */

static void bind_me(const struct bound *b)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(b->cpu < 0 ? 0 : b->cpu, &one);
	if (sched_setaffinity(0, sizeof(one), b->cpu < 0 ? &every : &one))
		skip("affinity to CPU %d: %s", b->cpu, strerror(errno));
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, b->io_priority))
		skip("I/O priority %#x: %s", b->io_priority, strerror(errno));
	must(!prctl(PR_SET_TIMERSLACK, b->slack, 0, 0, 0));
}

static void check(const struct bound *b)
{
	cpu_set_t now;

	must(!sched_getaffinity(0, sizeof(now), &now));
	if (b->cpu < 0)
		must(CPU_EQUAL(&now, &every));
	else
		must(CPU_COUNT(&now) == 1 && CPU_ISSET(b->cpu, &now));
	same(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0), b->io_priority);
	same(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0), b->slack);
}

static void *thread(void *arg)
{
	struct bound *b = arg;

	bind_me(b);
	b->ready = true;
	e2e_wait();
	check(b);
	return NULL;
}

static void child(void *arg)
{
	bind_me(arg);
	e2e_child_ready();
	e2e_wait();
	check(arg);
	_exit(0);
}

int main(int argc, char **argv)
{
	int last = 0;

	e2e_begin(argc, argv);
	must(!sched_getaffinity(0, sizeof(every), &every));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &every))
			last = cpu;
	struct bound process = { last, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0), 50000 },
		     other = { -1, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7), 123456 },
		     threads[] = {
			     { -1, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_NONE, 0), 50000 },
			     { last, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 2), 1 },
			     { last, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_RT, 3), 999999 },
		     };
	pthread_t ids[3];

	pid_t pid = e2e_fork(child, &other);
	for (int i = 0; i < 3; i++) {
		must(!pthread_create(&ids[i], NULL, thread, &threads[i]));
		while (!threads[i].ready)
			e2e_sleep_ms(1);
	}
	bind_me(&process);

	e2e_wait();

	check(&process);
	for (int i = 0; i < 3; i++)
		pthread_join(ids[i], NULL);
	e2e_join(pid);
	return 0;
}
