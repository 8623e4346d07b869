/*
 * One blocking system call: a thread waits in it with a timeout and one without. The first must return what it
 * returns when its time is over, and not earlier; the second only when it is woken. Neither may see an EINTR.
 */
#ifndef CALL_H
#define CALL_H

#include "e2e.h"

#include <pthread.h>

#ifndef CALL_MS
#define CALL_MS 400
#endif

struct call {
	const char *name;
	void (*setup)(void);
	long (*timed)(void); /* returns after CALL_MS; NULL: the call has no timeout */
	long timed_result; /* what it returns then: a value, or -errno */
	long (*endless)(void); /* NULL: it always has an end */
	void (*wake)(void); /* ends the call above */
	long endless_result;
};

static const struct call call;
static volatile bool woken, checking;
static int entering;
static pthread_t endless_thread;

static struct timespec E2E_UNUSED call_time(void)
{
	return (struct timespec){ CALL_MS / 1000, CALL_MS % 1000 * 1000000 };
}

/* The time on the clock when the timeout is over. */
static struct timespec E2E_UNUSED call_deadline(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	t.tv_nsec += CALL_MS * 1000000l;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

static long call_result(long ret)
{
	return ret < 0 ? -errno : ret;
}

static void *call_timed(void *arg)
{
	struct timespec start, end;

	__atomic_add_fetch(&entering, 1, __ATOMIC_SEQ_CST);
	clock_gettime(CLOCK_MONOTONIC, &start);
	long result = call_result(call.timed());
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (result != call.timed_result)
		fail("%s returned %ld, not %ld", call.name, result, call.timed_result);
	long ms = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
	if (ms < CALL_MS - 1) /* time in ms rounds down */
		fail("%s returned after %ld of %d ms", call.name, ms, CALL_MS);
	while (!checking) /* on a slow machine it is over in the middle of a dump; nobody shall miss the thread */
		e2e_sleep_ms(1);
	return NULL;
}

static void *call_endless(void *arg)
{
	__atomic_add_fetch(&entering, 1, __ATOMIC_SEQ_CST);
	long result = call_result(call.endless());

	if (!woken)
		fail("%s returned %ld before it was woken", call.name, result);
	if (result != call.endless_result)
		fail("%s returned %ld, not %ld", call.name, result, call.endless_result);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t timed;

	e2e_begin(argc, argv);
	if (call.setup)
		call.setup();
	if (call.timed)
		must(!pthread_create(&timed, NULL, call_timed, NULL));
	if (call.endless)
		must(!pthread_create(&endless_thread, NULL, call_endless, NULL));
	while (__atomic_load_n(&entering, __ATOMIC_SEQ_CST) < !!call.timed + !!call.endless)
		e2e_sleep_ms(1);
	e2e_sleep_ms(30); /* for both to be inside their calls */

	e2e_wait();

	checking = true;
	if (call.timed)
		must(!pthread_join(timed, NULL));
	e2e_sleep_ms(20); /* for a call to return that should not */
	woken = true;
	if (call.endless) {
		call.wake();
		must(!pthread_join(endless_thread, NULL));
	}
	return 0;
}

#endif
