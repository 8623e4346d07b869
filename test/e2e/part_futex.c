/*
 * Futexes: a thread that dies after the restore while it holds a robust mutex tells the next owner; the kernel clears
 * and wakes the address given by set_tid_address when a thread ends; mutexes that are held stay held; a shared
 * condition variable still wakes its waiters.
 */
#include "e2e.h"

#include <linux/futex.h>
#include <pthread.h>

static pthread_mutex_t robust, held = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t cond_mutex = PTHREAD_MUTEX_INITIALIZER;
static volatile int ready, go, woken;

static void *dies_with_mutex(void *arg)
{
	must(!pthread_mutex_lock(&robust));
	ready++;
	e2e_wait();
	return NULL; /* without unlocking */
}

static void *waits_for_cond(void *arg)
{
	must(!pthread_mutex_lock(&cond_mutex));
	ready++;
	while (!go)
		must(!pthread_cond_wait(&cond, &cond_mutex));
	woken++;
	pthread_mutex_unlock(&cond_mutex);
	return NULL;
}

static void *waits_for_held(void *arg)
{
	ready++;
	must(!pthread_mutex_lock(&held));
	woken++;
	pthread_mutex_unlock(&held);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_mutexattr_t attr;
	pthread_t thread[4];
	struct timespec deadline;

	e2e_begin(argc, argv);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &attr);
	pthread_mutex_lock(&held);
	must(!pthread_create(&thread[0], NULL, dies_with_mutex, NULL));
	must(!pthread_create(&thread[1], NULL, waits_for_cond, NULL));
	must(!pthread_create(&thread[2], NULL, waits_for_cond, NULL));
	must(!pthread_create(&thread[3], NULL, waits_for_held, NULL));
	while (ready < 4)
		e2e_sleep_ms(1);

	e2e_wait();

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += 60;
	same(pthread_mutex_timedlock(&robust, &deadline), EOWNERDEAD);
	pthread_mutex_consistent(&robust);
	pthread_mutex_unlock(&robust);
	same(woken, 0);
	pthread_mutex_lock(&cond_mutex);
	go = 1;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&cond_mutex);
	pthread_mutex_unlock(&held);
	for (int i = 0; i < 4; i++) /* waits for the tid that the kernel clears */
		must(!pthread_timedjoin_np(thread[i], NULL, &deadline));
	same(woken, 3);
	return 0;
}
