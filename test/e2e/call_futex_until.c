/* futex(2): FUTEX_WAIT_BITSET until a time, a mutex with priority inheritance that another thread has. */
#include "call.h"

#include <linux/futex.h>

static int word;
static pthread_mutex_t mutex;

static void setup(void)
{
	pthread_mutexattr_t attr;

	must(!pthread_mutexattr_init(&attr) && !pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
	must(!pthread_mutex_init(&mutex, &attr) && !pthread_mutex_lock(&mutex));
}

static long timed(void)
{
	struct timespec t = call_deadline(CLOCK_MONOTONIC);

	return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, 0, &t, NULL, ~0);
}

static long endless(void)
{
	errno = pthread_mutex_lock(&mutex);
	return errno ? -1 : 0;
}

static void wake(void)
{
	must(!pthread_mutex_unlock(&mutex));
}

static const struct call call = {
	"futex until a time",	    .setup = setup,	.timed = timed,
	.timed_result = -ETIMEDOUT, .endless = endless, .wake = wake,
};
