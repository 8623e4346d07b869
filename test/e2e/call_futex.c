/* futex(2): FUTEX_WAIT for a time and for ever. */
#include "call.h"

#include <linux/futex.h>

static int word;

static long timed(void)
{
	struct timespec t = call_time();

	return syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0);
}

static long endless(void)
{
	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void wake(void)
{
	must(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0) == 1);
}

static const struct call call = {
	"futex", .timed = timed, .timed_result = -ETIMEDOUT, .endless = endless, .wake = wake,
};
