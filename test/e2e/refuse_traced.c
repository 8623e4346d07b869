/* A task that its parent traces, and one of whose threads alone is traced. */
#include "e2e.h"

#include <pthread.h>
#include <sys/ptrace.h>

static void *sleeper(void *arg)
{
	*(volatile pid_t *)arg = gettid();
	e2e_wait();
	return NULL;
}

static volatile pid_t *shared;

static void child(void *arg)
{
	pthread_t t;

	must(!pthread_create(&t, NULL, sleeper, (void *)&shared[(long)arg]));
	while (!shared[(long)arg])
		e2e_sleep_ms(1);
	e2e_child_ready();
	e2e_wait();
	pthread_join(t, NULL);
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	shared = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(shared != MAP_FAILED);
	pid_t whole = e2e_fork(child, (void *)0), part = e2e_fork(child, (void *)1);
	if (ptrace(PTRACE_SEIZE, whole, 0, 0) || ptrace(PTRACE_SEIZE, shared[1], 0, 0))
		skip("ptrace: %s", strerror(errno));
	e2e_expect("%d traced %d tracer %d", whole, whole, getpid());
	e2e_expect("%d traced %d tracer %d", part, shared[1], getpid());

	e2e_wait();

	/* we are its tracer still */
	must(waitpid(shared[1], NULL, __WALL) == shared[1]);
	e2e_join(whole);
	e2e_join(part);
	return 0;
}
