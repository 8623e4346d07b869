/* write(2) into a full pipe. */
#include "call.h"

static char junk[65536];
static int full[2];

static void setup(void)
{
	must(!pipe(full) && write(full[1], junk, sizeof(junk)) == sizeof(junk));
}

static long endless(void)
{
	return write(full[1], "x", 1);
}

static void wake(void)
{
	must(read(full[0], junk, sizeof(junk)) == sizeof(junk));
}

static const struct call call = { "write", .setup = setup, .endless = endless, .wake = wake, .endless_result = 1 };
