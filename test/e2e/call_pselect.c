/* pselect(2) on a pipe in which nothing comes. */
#include "call.h"

#include <sys/select.h>

static int silent[2];

static void setup(void)
{
	must(!pipe(silent));
}

static long timed(void)
{
	fd_set set;
	struct timespec t = call_time();

	FD_ZERO(&set);
	FD_SET(silent[0], &set);
	return pselect(silent[0] + 1, &set, NULL, NULL, &t, NULL);
}

static long endless(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(silent[0], &set);
	return pselect(silent[0] + 1, &set, NULL, NULL, NULL, NULL);
}

static void wake(void)
{
	must(write(silent[1], "x", 1) == 1);
}

static const struct call call = {
	"pselect", .setup = setup, .timed = timed, .endless = endless, .wake = wake, .endless_result = 1,
};
