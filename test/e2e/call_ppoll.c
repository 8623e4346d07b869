/* ppoll(2) on a pipe in which nothing comes. */
#include "call.h"

#include <poll.h>

static int silent[2];

static void setup(void)
{
	must(!pipe(silent));
}

static long timed(void)
{
	struct pollfd p = { silent[0], POLLIN, 0 };
	struct timespec t = call_time();

	return ppoll(&p, 1, &t, NULL);
}

static long endless(void)
{
	struct pollfd p = { silent[0], POLLIN, 0 };

	return ppoll(&p, 1, NULL, NULL);
}

static void wake(void)
{
	must(write(silent[1], "x", 1) == 1);
}

static const struct call call = {
	"ppoll", .setup = setup, .timed = timed, .endless = endless, .wake = wake, .endless_result = 1,
};
