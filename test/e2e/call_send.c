/* write(2) into a full socket, with a timeout (SO_SNDTIMEO) and without. */
#include "call.h"

#include <sys/socket.h>

static int pair[2][2];
static char junk[1 << 16];

static void setup(void)
{
	struct timeval t = { CALL_MS / 1000, CALL_MS % 1000 * 1000 };

	for (int i = 0; i < 2; i++) {
		must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair[i]));
		while (send(pair[i][0], junk, sizeof(junk), MSG_DONTWAIT) > 0)
			;
	}
	must(!setsockopt(pair[0][0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)));
}

static long timed(void)
{
	return write(pair[0][0], junk, 1);
}

static long endless(void)
{
	return send(pair[1][0], junk, 1, 0);
}

static void wake(void)
{
	while (recv(pair[1][1], junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
}

static const struct call call = {
	"send",	      .setup = setup,	   .timed = timed, .timed_result = -EAGAIN, .endless = endless,
	.wake = wake, .endless_result = 1,
};
