/* System call user dispatch: a call made by the thread for somebody else would end it by SIGSYS. */
#include "e2e.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

static volatile char selector; /* 0: calls are let through; 1: they become SIGSYS */
static volatile int *go_on;

static void child(void *arg)
{
	e2e_expect("%d dispatch", getpid());
	e2e_child_ready();
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, &selector)) {
		*go_on = 2;
		_exit(0);
	}
	selector = 1;
	*go_on = 1;
	while (*go_on == 1)
		;
	selector = 0;
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	go_on = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(go_on != MAP_FAILED);
	pid_t pid = e2e_fork(child, NULL);
	while (!*go_on)
		e2e_sleep_ms(1);
	if (*go_on == 2)
		skip("the kernel has no system call user dispatch");

	e2e_wait();

	*go_on = 3;
	e2e_join(pid);
	return 0;
}
