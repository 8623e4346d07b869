/* Futexes in memory shared by processes: a process killed while it holds a robust mutex, a semaphore that is waited on.
 */
#include "e2e.h"

#include <pthread.h>
#include <semaphore.h>

static struct shared {
	pthread_mutex_t mutex;
	sem_t sem;
} * shared;

static void holder(void *arg)
{
	must(!pthread_mutex_lock(&shared->mutex));
	e2e_child_ready();
	for (;;)
		pause();
}

static void waiter(void *arg)
{
	e2e_child_ready();
	while (sem_wait(&shared->sem))
		must(errno == EINTR);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_mutexattr_t attr;
	struct timespec deadline;
	int status;

	e2e_begin(argc, argv);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->mutex, &attr);
	must(!sem_init(&shared->sem, 1, 0));
	pid_t a = e2e_fork(holder, NULL), b = e2e_fork(waiter, NULL);

	e2e_wait();

	must(pthread_mutex_trylock(&shared->mutex) == EBUSY);
	kill(a, SIGKILL);
	must(waitpid(a, &status, 0) == a && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 60;
	same(pthread_mutex_timedlock(&shared->mutex, &deadline), EOWNERDEAD);
	must(waitpid(b, &status, WNOHANG) == 0);
	sem_post(&shared->sem);
	e2e_join(b);
	return 0;
}
