/* clock_nanosleep(2) for a time. */
#include "call.h"

static long timed(void)
{
	struct timespec t = call_time(), left;

	errno = clock_nanosleep(CLOCK_BOOTTIME, 0, &t, &left);
	return errno ? -1 : 0;
}

static const struct call call = { "clock_nanosleep", .timed = timed };
