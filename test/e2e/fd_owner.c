/* F_SETOWN, F_SETOWN_EX, F_SETSIG and O_ASYNC of descriptors: who is told, by which signal. */
#include "e2e.h"

static volatile sig_atomic_t got_signal, got_fd;

static void handler(int number, siginfo_t *info, void *context)
{
	got_signal = number;
	got_fd = info->si_fd;
}

int main(int argc, char **argv)
{
	struct f_owner_ex owner = { F_OWNER_PGRP, getpgrp() }, now = { 0 };
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	int a[2], b[2];

	e2e_begin(argc, argv);
	must(!pipe(a) && !pipe(b));
	sigaction(SIGRTMIN + 3, &action, NULL);
	must(!fcntl(a[0], F_SETOWN, getpid()) && !fcntl(a[0], F_SETSIG, SIGRTMIN + 3));
	must(!fcntl(a[0], F_SETFL, O_ASYNC | O_NONBLOCK));
	must(!fcntl(b[0], F_SETOWN_EX, &owner) && !fcntl(b[0], F_SETSIG, SIGUSR2));

	e2e_wait();

	same(fcntl(a[0], F_GETOWN), getpid());
	same(fcntl(a[0], F_GETSIG), SIGRTMIN + 3);
	same(fcntl(a[0], F_GETFL), O_RDONLY | O_ASYNC | O_NONBLOCK);
	must(!fcntl(b[0], F_GETOWN_EX, &now));
	same(now.type, F_OWNER_PGRP);
	same(now.pid, getpgrp());
	same(fcntl(b[0], F_GETSIG), SIGUSR2);
	must(write(a[1], "x", 1) == 1);
	same(got_signal, SIGRTMIN + 3);
	same(got_fd, a[0]);
	return 0;
}
