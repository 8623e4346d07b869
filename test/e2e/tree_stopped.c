/*
 * Children that are stopped, by each of the signals that stop: their parent learns of the same signal again, and
 * continues them.
 */
#include "e2e.h"

static const int signals[] = { SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU };
#define N (sizeof(signals) / sizeof(signals[0]))

static void child(void *arg)
{
	int sig = *(const int *)arg;

	/* a group of its own, whose parent in the same session can continue it: not orphaned */
	must(!setpgid(0, 0));
	e2e_child_ready();
	raise(sig);
	_exit(sig);
}

int main(int argc, char **argv)
{
	pid_t pid[N];
	siginfo_t info;

	e2e_begin(argc, argv);
	for (size_t i = 0; i < N; i++) {
		pid[i] = e2e_fork(child, (void *)&signals[i]);
		must(!waitid(P_PID, pid[i], &info, WSTOPPED | WNOWAIT) && info.si_status == signals[i]);
	}

	e2e_wait();

	for (size_t i = 0; i < N; i++) {
		must(!waitid(P_PID, pid[i], &info, WSTOPPED | WNOWAIT));
		same(info.si_code, CLD_STOPPED);
		same(info.si_status, signals[i]);
		must(!kill(pid[i], SIGCONT));
		must(!waitid(P_PID, pid[i], &info, WEXITED));
		same(info.si_code, CLD_EXITED);
		same(info.si_status, signals[i]);
	}
	return 0;
}
