/*
 * A child that slept with a timeout, was stopped, was about to go on sleeping (restart_syscall) and was stopped again
 * before it did. It sleeps on when it is continued.
 */
#include "e2e.h"

#include <linux/futex.h>
#include <sys/ptrace.h>
#include <sys/user.h>

#define TRIES 1000000

static int word;

static void child(void *arg)
{
	struct timespec t = { 100000, 0 };

	e2e_child_ready();
	syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0);
	_exit(1);
}

/* Stops it again and again, until that is right before it goes on sleeping. */
static void stop_twice(pid_t pid)
{
	struct user_regs_struct regs;
	int status;

	for (int i = 0; i < TRIES; i++) {
		must(!ptrace(PTRACE_SEIZE, pid, 0, 0) && !ptrace(PTRACE_INTERRUPT, pid, 0, 0));
		must(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
		must(!ptrace(PTRACE_GETREGS, pid, 0, &regs));
		bool there = regs.rax == SYS_restart_syscall;

		if (there)
			must(!kill(pid, SIGSTOP));
		must(!ptrace(PTRACE_DETACH, pid, 0, 0));
		if (!there)
			continue;
		must(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
		return;
	}
	skip("it was never stopped at that moment");
}

int main(int argc, char **argv)
{
	int status;

	e2e_begin(argc, argv);
	pid_t pid = e2e_fork(child, NULL);
	usleep(20000);
	stop_twice(pid);

	e2e_wait();

	must(!kill(pid, SIGCONT));
	usleep(50000);
	same(waitpid(pid, &status, WNOHANG), 0);
	must(!kill(pid, SIGKILL) && waitpid(pid, &status, 0) == pid);
	return 0;
}
