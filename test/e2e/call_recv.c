/* read(2) of a socket, with a timeout (SO_RCVTIMEO) and without. */
#include "call.h"

#include <sys/socket.h>

static int pair[2][2];

static void setup(void)
{
	struct timeval t = { CALL_MS / 1000, CALL_MS % 1000 * 1000 };

	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair[0]) && !socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair[1]));
	must(!setsockopt(pair[0][0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
}

static long timed(void)
{
	char c;

	return read(pair[0][0], &c, 1);
}

static long endless(void)
{
	char c;

	return recv(pair[1][0], &c, 1, 0);
}

static void wake(void)
{
	must(write(pair[1][1], "x", 1) == 1);
}

static const struct call call = {
	"recv",	      .setup = setup,	   .timed = timed, .timed_result = -EAGAIN, .endless = endless,
	.wake = wake, .endless_result = 1,
};
