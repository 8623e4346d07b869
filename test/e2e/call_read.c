/* read(2) of an empty pipe. */
#include "call.h"

static int empty[2];

static void setup(void)
{
	must(!pipe(empty));
}

static long endless(void)
{
	char c;

	return read(empty[0], &c, 1);
}

static void wake(void)
{
	must(write(empty[1], "x", 1) == 1);
}

static const struct call call = { "read", .setup = setup, .endless = endless, .wake = wake, .endless_result = 1 };
