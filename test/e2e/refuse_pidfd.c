/* pidfds of a process outside the tree, and of a thread. */
#include "e2e.h"

#include <pthread.h>
#include <sys/pidfd.h>

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

static pid_t tid;
static pthread_barrier_t begun;

static __attribute__((noreturn)) void *run(void *arg)
{
	tid = gettid();
	pthread_barrier_wait(&begun);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	pthread_t thread;

	e2e_begin(argc, argv);
	int outside = pidfd_open(getppid(), 0);
	must(outside >= 0 && !pthread_barrier_init(&begun, NULL, 2) && !pthread_create(&thread, NULL, run, NULL));
	pthread_barrier_wait(&begun);
	int of_thread = pidfd_open(tid, PIDFD_THREAD);
	e2e_expect("%d fd %d pidfd %d outside", getpid(), outside, getppid());
	if (of_thread >= 0) /* since 6.9 */
		e2e_expect("%d fd %d pidfd thread %d", getpid(), of_thread, tid);

	e2e_wait();

	must(!pidfd_send_signal(outside, 0, NULL, 0));
	return 0;
}
