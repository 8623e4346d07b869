/* A session and a group whose leader is a zombie, while a member goes on, adopted by a subreaper. */
#include "e2e.h"

static volatile int *adopted;

static void member(void *arg)
{
	pid_t pgid = getpgrp(), sid = getsid(0), adopter = *(pid_t *)arg;

	must(pgid == sid && sid == getppid());
	e2e_child_ready();
	while (getppid() != adopter)
		e2e_sleep_ms(1);
	*adopted = 1;
	e2e_wait();
	same(getppid(), adopter);
	same(getpgrp(), pgid);
	same(getsid(0), sid);
	_exit(5);
}

static void leader(void *arg)
{
	must(setsid() == getpid());
	e2e_fork(member, arg);
	_exit(9);
}

int main(int argc, char **argv)
{
	pid_t me = getpid();
	siginfo_t info;
	int status;

	e2e_begin(argc, argv);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	adopted = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t zombie = e2e_fork(leader, &me);
	while (!*adopted)
		e2e_sleep_ms(1);
	must(!waitid(P_PID, zombie, &info, WEXITED | WNOWAIT));

	e2e_wait();

	must(!waitid(P_PID, zombie, &info, WEXITED) && info.si_code == CLD_EXITED && info.si_status == 9);
	must(waitpid(-1, &status, 0) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 5);
	must(waitpid(-1, &status, 0) == -1 && errno == ECHILD);
	return 0;
}
