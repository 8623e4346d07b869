/* Groups that outlived their leader: the leader is reaped, members stay, in the session of the tree and in one below
 * it. */
#include "e2e.h"

static void leader(void *arg)
{
	must(!setpgid(0, 0));
	e2e_child_ready();
	for (;;)
		pause();
}

static volatile int *grouped;

static void member(void *arg)
{
	pid_t sid = getsid(0), pgid = *(pid_t *)arg;

	e2e_child_ready();
	while (!*grouped)
		e2e_sleep_ms(1);
	e2e_wait();
	same(getpgrp(), pgid);
	same(getsid(0), sid);
	_exit(0);
}

static void make_group(pid_t *members)
{
	pid_t gone = e2e_fork(leader, NULL);

	for (int i = 0; i < 3; i++) {
		members[i] = e2e_fork(member, &gone);
		must(!setpgid(members[i], gone));
	}
	must(!kill(gone, SIGKILL) && waitpid(gone, NULL, 0) == gone);
	*grouped = 1;
}

static void other_session(void *arg)
{
	pid_t members[3];

	must(setsid() == getpid());
	make_group(members);
	e2e_child_ready();
	e2e_wait();
	for (int i = 0; i < 3; i++)
		e2e_join(members[i]);
	_exit(0);
}

int main(int argc, char **argv)
{
	pid_t members[3];

	e2e_begin(argc, argv);
	grouped = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	make_group(members);
	pid_t pid = e2e_fork(other_session, NULL);

	e2e_wait();

	for (int i = 0; i < 3; i++)
		e2e_join(members[i]);
	e2e_join(pid);
	return 0;
}
