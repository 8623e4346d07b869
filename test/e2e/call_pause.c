/* pause(2): it ends with EINTR only when a signal was handled. */
#include "call.h"

static volatile bool handled;

static void on_signal(int number)
{
	handled = true;
}

static void setup(void)
{
	must(signal(SIGUSR1, on_signal) != SIG_ERR);
}

static long endless(void)
{
	long ret = pause();

	must(handled);
	return ret;
}

static void wake(void)
{
	must(!pthread_kill(endless_thread, SIGUSR1));
}

static const struct call call = {
	"pause", .setup = setup, .endless = endless, .wake = wake, .endless_result = -EINTR,
};
