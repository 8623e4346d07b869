/*
 * Members of one session whose leader is gone, adopted by two different subreapers, one of which was a member itself
 * before it made its own session.
 */
#include "e2e.h"

static volatile int *stage;

static void reach(int n)
{
	__atomic_add_fetch(stage, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(stage, __ATOMIC_SEQ_CST) < n)
		e2e_sleep_ms(1);
}

static void stay(void)
{
	pid_t sid = getsid(0), parent = getppid(), group = getpgrp();

	while (!e2e_time_to_check())
		e2e_sleep_ms(3);
	same(getsid(0), sid);
	same(getpgrp(), group);
	same(getppid(), parent);
	/* Nobody ends before all have looked. */
	reach(6);
	_exit(0);
}

/* Forks one that forks a member and ends, so that the member is adopted. */
static void fork_member(void)
{
	if (!fork()) {
		pid_t self = getpid();

		if (!fork()) {
			while (getppid() == self)
				e2e_sleep_ms(1);
			reach(3);
			stay();
		}
		_exit(0);
	}
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	stage = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(stage != MAP_FAILED && !prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	pid_t leader = fork();
	must(leader >= 0);
	if (!leader) {
		pid_t leader_pid = getpid();

		must(setsid() == leader_pid);
		fork_member(); /* adopted by the first process, when we end */
		if (!fork()) {
			must(!prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
			fork_member(); /* adopted by this one */
			must(wait(NULL) > 0);
			must(setsid() == getpid());
			while (getppid() == leader_pid) /* it ends, too */
				e2e_sleep_ms(1);
			reach(3);
			stay();
		}
		must(wait(NULL) > 0);
		_exit(0);
	}
	must(waitpid(leader, NULL, 0) == leader);
	while (*stage < 3)
		e2e_sleep_ms(1);

	e2e_wait();

	int status, failed = 0;
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}
