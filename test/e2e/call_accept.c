/* accept(2), with a timeout (SO_RCVTIMEO) and without. */
#include "call.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static int listener[2];

static socklen_t name(int i, struct sockaddr_un *a)
{
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return offsetof(struct sockaddr_un, sun_path) + sprintf(a->sun_path + 1, "e2e-accept-%d-%d", getpid(), i) + 1;
}

static void setup(void)
{
	struct timeval t = { CALL_MS / 1000, CALL_MS % 1000 * 1000 };
	struct sockaddr_un a;

	for (int i = 0; i < 2; i++) {
		listener[i] = socket(AF_UNIX, SOCK_STREAM, 0);
		must(!bind(listener[i], (struct sockaddr *)&a, name(i, &a)) && !listen(listener[i], 1));
	}
	must(!setsockopt(listener[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
}

static long timed(void)
{
	return accept(listener[0], NULL, NULL);
}

static long endless(void)
{
	return accept(listener[1], NULL, NULL) < 0 ? -1 : 1;
}

static void wake(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr_un a;

	must(!connect(fd, (struct sockaddr *)&a, name(1, &a)));
}

static const struct call call = {
	"accept",	    .setup = setup, .timed = timed,	 .timed_result = -EAGAIN,
	.endless = endless, .wake = wake,   .endless_result = 1,
};
