/*
 * 200 processes in several sessions and groups: zombies with exit codes and with signals, stopped members. Each checks
 * its own pid, parent, group and session.
 */
#include "e2e.h"

#define BRANCHES 8
#define LEAVES 22 /* a branch: itself, LEAVES plain members, of which one is stopped, a zombie of each kind */
#define CHECKED (BRANCHES * (1 + LEAVES)) /* those that check themselves */

/* Steps of the set-up: only when all have their parents and groups, each notes what it is; only then some stop. */
static struct steps {
	volatile int settled, noted, stop, stopped, alive;
} * steps;

struct ids {
	pid_t pid, ppid, pgid, sid;
};

static struct ids my_ids(void)
{
	return (struct ids){ getpid(), getppid(), getpgrp(), getsid(0) };
}

static void check_ids(const struct ids *before)
{
	struct ids now = my_ids();

	same(now.pid, before->pid);
	same(now.ppid, before->ppid);
	same(now.pgid, before->pgid);
	same(now.sid, before->sid);
}

static void add_one(volatile int *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

static void wait_for(volatile int *counter, int value)
{
	while (*counter < value)
		e2e_sleep_ms(2);
}

static struct ids note_ids(void)
{
	e2e_child_ready();
	wait_for(&steps->settled, 1);
	struct ids ids = my_ids();
	add_one(&steps->noted);
	return ids;
}

static void wait_and_check(const struct ids *before)
{
	while (!e2e_time_to_check())
		e2e_sleep_ms(20);
	check_ids(before);
	add_one(&steps->alive);
}

static void leaf(void *arg)
{
	struct ids ids = note_ids();

	wait_and_check(&ids);
	_exit(0);
}

static void exits(void *arg)
{
	_exit(*(int *)arg);
}

static void killed(void *arg)
{
	raise(*(int *)arg);
	_exit(0);
}

static void expect_end(pid_t pid, bool signalled, int value)
{
	siginfo_t info = { 0 };

	must(!waitid(P_PID, pid, &info, WEXITED | WNOHANG));
	same(info.si_pid, pid);
	same(info.si_code, signalled ? CLD_KILLED : CLD_EXITED);
	same(info.si_status, value);
}

static void wait_zombie(pid_t pid)
{
	siginfo_t info;

	must(!waitid(P_PID, pid, &info, WEXITED | WNOWAIT));
}

static void branch(void *arg)
{
	int number = *(int *)arg;
	pid_t leaves[LEAVES];

	if (number % 2)
		must(setsid() == getpid());
	else
		must(!setpgid(0, 0));
	for (int i = 0; i < LEAVES; i++) {
		leaves[i] = e2e_fork(leaf, NULL);
		if (i % 3 == 0)
			must(!setpgid(leaves[i], i % 2 ? leaves[i] : leaves[0]));
	}
	pid_t zombie = e2e_fork(exits, &(int){ 40 + number }), dead = e2e_fork(killed, &(int){ SIGUSR1 });
	wait_zombie(zombie);
	wait_zombie(dead);
	struct ids ids = note_ids();
	wait_for(&steps->stop, 1);
	pid_t stopped = leaves[1];
	must(!kill(stopped, SIGSTOP));
	siginfo_t info;
	must(!waitid(P_PID, stopped, &info, WSTOPPED | WNOWAIT));
	add_one(&steps->stopped);

	wait_and_check(&ids);

	expect_end(zombie, false, 40 + number);
	expect_end(dead, true, SIGUSR1);
	e2e_sleep_ms(30);
	must(waitpid(stopped, NULL, WNOHANG) == 0); /* still stopped */
	must(!kill(stopped, SIGCONT));
	for (int i = 0; i < LEAVES; i++)
		e2e_join(leaves[i]);
	must(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	_exit(0);
}

int main(int argc, char **argv)
{
	pid_t pid[BRANCHES];

	e2e_begin(argc, argv);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	steps = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < BRANCHES; i++)
		pid[i] = e2e_fork(branch, &i);
	steps->settled = 1;
	wait_for(&steps->noted, CHECKED);
	steps->stop = 1;
	wait_for(&steps->stopped, BRANCHES);

	e2e_wait();

	for (int i = 0; i < BRANCHES; i++)
		e2e_join(pid[i]);
	while (waitpid(-1, NULL, 0) > 0)
		;
	same(steps->alive, CHECKED);
	return 0;
}
