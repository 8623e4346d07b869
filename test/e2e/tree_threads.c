/* A process of several threads that share memory, and another one: whatever part they play, they go on. */
#include "e2e.h"

#include <pthread.h>

#define THREADS 8

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static __thread long mine;
static volatile long shared, turns[THREADS], tids[THREADS];
static volatile bool stop;

static void *run(void *arg)
{
	long who = (long)arg;

	mine = who * 1000;
	tids[who] = gettid();
	for (long i = 0; !stop; i++) {
		pthread_mutex_lock(&mutex);
		shared++;
		turns[who]++;
		pthread_mutex_unlock(&mutex);
		if (mine != who * 1000 + i)
			fail("thread-local %ld, not %ld", mine, who * 1000 + i);
		mine++;
		if (tids[who] != gettid() || getpid() == gettid())
			fail("thread %ld has id %d", tids[who], gettid());
		if (who || i % 5000 == 0) /* the first one is mostly running */
			e2e_sleep_ms(1);
	}
	return (void *)turns[who];
}

static void run_all(void)
{
	pthread_t thread[THREADS];
	long before[THREADS], sum = 0;
	void *result;

	for (long i = 0; i < THREADS; i++)
		must(!pthread_create(&thread[i], NULL, run, (void *)i));
	for (int i = 0; i < THREADS; i++)
		while (!turns[i])
			e2e_sleep_ms(1);
	if (e2e_child_pipe >= 0)
		e2e_child_ready();

	e2e_wait();

	memcpy(before, (void *)turns, sizeof(before));
	for (int i = 0; i < THREADS; i++)
		for (int k = 0; turns[i] < before[i] + 5; k++) {
			if (k > 60000)
				fail("thread %d hangs", i);
			e2e_sleep_ms(1);
		}
	stop = true;
	for (int i = 0; i < THREADS; i++) {
		must(!pthread_join(thread[i], &result));
		sum += (long)result;
	}
	same(sum, shared);
}

static void child(void *arg)
{
	run_all();
	_exit(0);
}

int main(int argc, char **argv)
{
	char buf[8] = "";

	e2e_begin(argc, argv);
	int deleted = open("deleted", O_CREAT | O_RDWR, 0600); /* so that all fault points are reached */
	must(deleted >= 0 && !unlink("deleted") && write(deleted, "gone", 4) == 4);
	pid_t pid = e2e_fork(child, NULL);
	run_all();
	e2e_join(pid);
	must(pread(deleted, buf, 8, 0) == 4 && !strcmp(buf, "gone"));
	return 0;
}
