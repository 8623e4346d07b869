/* wait4(2), waitid(2) for a child that lives. */
#include "call.h"

static pid_t child[2];

static void run(void *arg)
{
	e2e_child_ready();
	for (;;)
		pause();
}

static void setup(void)
{
	child[0] = e2e_fork(run, NULL);
	child[1] = e2e_fork(run, NULL);
}

static long endless(void)
{
	siginfo_t info = {};
	int status;

	if (waitid(P_PID, child[0], &info, WEXITED))
		return -1;
	must(info.si_pid == child[0] && info.si_status == SIGKILL);
	if (waitpid(child[1], &status, 0) != child[1])
		return -1;
	return WTERMSIG(status);
}

static void wake(void)
{
	must(!kill(child[0], SIGKILL));
	e2e_sleep_ms(5);
	must(!kill(child[1], SIGKILL));
}

static const struct call call = {
	"waitid", .setup = setup, .endless = endless, .wake = wake, .endless_result = SIGKILL,
};
