/* select(2) on a pipe in which nothing comes. */
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
	struct timeval t = { CALL_MS / 1000, CALL_MS % 1000 * 1000 };

	FD_ZERO(&set);
	FD_SET(silent[0], &set);
	return select(silent[0] + 1, &set, NULL, NULL, &t);
}

static long endless(void)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(silent[0], &set);
	return select(silent[0] + 1, &set, NULL, NULL, NULL);
}

static void wake(void)
{
	must(write(silent[1], "x", 1) == 1);
}

static const struct call call = {
	"select", .setup = setup, .timed = timed, .endless = endless, .wake = wake, .endless_result = 1,
};
