/* nanosleep(2) */
#include "call.h"

static long timed(void)
{
	struct timespec t = call_time(), left;

	return nanosleep(&t, &left);
}

static const struct call call = { "nanosleep", .timed = timed };
