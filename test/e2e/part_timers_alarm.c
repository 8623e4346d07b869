/* Alarms (ITIMER_REAL, once) that end around a dump, 2 ms after each other, each in a process: all ring, and once. */
#include "e2e.h"

#include <sys/time.h>

#define ALARMS 60

static void ring(void *arg)
{
	struct itimerval once = { .it_value = { 0, 1000 * (1 + (intptr_t)arg) } };
	const struct timespec limit = { 3, 0 }, none = { 0, 0 };
	sigset_t set;

	/* It waits, so that none is lost on the way to a handler. */
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	e2e_child_ready();
	must(!setitimer(ITIMER_REAL, &once, NULL));
	e2e_wait();
	same(sigtimedwait(&set, NULL, &limit), SIGALRM);
	same(sigtimedwait(&set, NULL, &none), -1);
	must(!getitimer(ITIMER_REAL, &once));
	same(once.it_value.tv_sec + once.it_value.tv_usec, 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	pid_t pids[ALARMS];

	e2e_begin(argc, argv);
	for (intptr_t i = ALARMS; i-- > 0;) /* the last ring first: so many end during the dump */
		pids[i] = e2e_fork(ring, (void *)(i * 2));

	e2e_wait();

	for (int i = 0; i < ALARMS; i++)
		e2e_join(pids[i]);
	return 0;
}
