/* A task that is on its alternate stack, in a signal handler inside a signal handler, when it is dumped. */
#include "e2e.h"

#include <ucontext.h>

static char stack[65536];
static volatile int depth, marks;

static void inner(int number, siginfo_t *info, void *context)
{
	char here;
	stack_t now;

	must(&here > stack && &here < stack + sizeof(stack));
	depth++;
	e2e_wait();
	must(!sigaltstack(NULL, &now));
	must(now.ss_flags & SS_ONSTACK && now.ss_sp == stack);
	marks |= 1;
}

static void outer(int number, siginfo_t *info, void *context)
{
	sigset_t now;

	raise(SIGUSR2);
	must(sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
	marks |= 2;
}

int main(int argc, char **argv)
{
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) }, now;
	struct sigaction action = { .sa_sigaction = outer, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	double x = 1.5;
	sigset_t mask;

	e2e_begin(argc, argv);
	must(!sigaltstack(&alt, NULL));
	sigaction(SIGUSR1, &action, NULL);
	action.sa_sigaction = inner;
	sigaction(SIGUSR2, &action, NULL);
	raise(SIGUSR1);
	same(depth, 1);
	same(marks, 3);
	must(x == 1.5);
	must(!sigaltstack(NULL, &now));
	same(now.ss_flags, 0);
	must(sigprocmask(SIG_SETMASK, NULL, &mask) == 0 && !sigismember(&mask, SIGUSR1));
	return 0;
}
