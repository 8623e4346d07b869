/* rt_sigtimedwait(2) */
#define CALL_MS 1500 /* its end shows in the signals that are blocked: it must not come in the middle of a dump */
#include "call.h"

static sigset_t timed_set, endless_set;

static void setup(void)
{
	sigemptyset(&timed_set);
	sigemptyset(&endless_set);
	sigaddset(&timed_set, SIGUSR1);
	sigaddset(&endless_set, SIGUSR2);
	must(!sigprocmask(SIG_BLOCK, &timed_set, NULL) && !sigprocmask(SIG_BLOCK, &endless_set, NULL));
}

static long timed(void)
{
	struct timespec t = call_time();

	return sigtimedwait(&timed_set, NULL, &t);
}

static long endless(void)
{
	return sigwaitinfo(&endless_set, NULL);
}

static void wake(void)
{
	must(!kill(getpid(), SIGUSR2));
}

static const struct call call = {
	"sigtimedwait",
	.setup = setup,
	.timed = timed,
	.timed_result = -EAGAIN,
	.endless = endless,
	.wake = wake,
	.endless_result = SIGUSR2,
};
