/* 1000 threads, each with its own stack content, blocked on a condition. */
#include "e2e.h"

#include <pthread.h>

#define THREADS 1000

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int ready, go;

static void *run(void *arg)
{
	char local[512];
	long who = (long)arg;
	pid_t tid = gettid();

	e2e_fill(local, sizeof(local), who);
	pthread_mutex_lock(&mutex);
	ready++;
	while (!go)
		pthread_cond_wait(&cond, &mutex);
	pthread_mutex_unlock(&mutex);
	e2e_verify(local, sizeof(local), who, "stack of a thread");
	same(gettid(), tid);
	return arg;
}

int main(int argc, char **argv)
{
	static pthread_t thread[THREADS];
	pthread_attr_t attr;
	void *result;

	e2e_begin(argc, argv);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (long i = 0; i < THREADS; i++)
		if (pthread_create(&thread[i], &attr, run, (void *)i))
			skip("only %ld threads possible", i);
	for (;;) {
		pthread_mutex_lock(&mutex);
		int now = ready;
		pthread_mutex_unlock(&mutex);
		if (now == THREADS)
			break;
		e2e_sleep_ms(1);
	}

	e2e_wait();

	pthread_mutex_lock(&mutex);
	go = 1;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&mutex);
	for (long i = 0; i < THREADS; i++) {
		must(!pthread_join(thread[i], &result));
		same((long)result, i);
	}
	return 0;
}
