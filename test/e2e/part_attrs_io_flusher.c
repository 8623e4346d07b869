/* I/O flushers (PR_SET_IO_FLUSHER, needs CAP_SYS_RESOURCE): a process, the thread that inherits it, a child without. */
#include "e2e.h"

#include <pthread.h>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#define PR_GET_IO_FLUSHER 58
#endif

static volatile bool thread_ready;

static void *thread(void *arg)
{
	thread_ready = true;
	e2e_wait();
	same(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0), 1);
	return NULL;
}

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	same(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0), 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t other;

	e2e_begin(argc, argv);
	pid_t pid = e2e_fork(child, NULL);
	if (prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		skip("PR_SET_IO_FLUSHER: %s", strerror(errno));
	must(!pthread_create(&other, NULL, thread, NULL));
	while (!thread_ready)
		e2e_sleep_ms(1);

	e2e_wait();

	same(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0), 1);
	pthread_join(other, NULL);
	e2e_join(pid);
	return 0;
}
