/* clock_nanosleep(2) until a time. */
#include "call.h"

static long timed(void)
{
	struct timespec until = call_deadline(CLOCK_MONOTONIC);

	errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	return errno ? -1 : 0;
}

static const struct call call = { "clock_nanosleep until a time", .timed = timed };
