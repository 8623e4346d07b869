/*
 * Processes whose parents have ended, adopted by a subreaper: in the session of a leader that lives elsewhere in the
 * tree (the background job of a shell), of one that is gone (a daemon), of one that is gone and whose first member
 * has made a session of its own since. Each checks its pid, parent, group and session; and adoption goes on.
 */
#include "e2e.h"

#define MEMBERS 16

struct ids {
	pid_t pid, ppid, pgid, sid;
};

static volatile int *ready, *checked;

static struct ids my_ids(void)
{
	return (struct ids){ getpid(), getppid(), getpgrp(), getsid(0) };
}

static void add_one(volatile int *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
}

/* Waits until who forked it is gone, then for the check. */
static void stay(pid_t parent)
{
	while (getppid() == parent)
		e2e_sleep_ms(1);
	struct ids before = my_ids();
	add_one(ready);
	while (!e2e_time_to_check())
		e2e_sleep_ms(10);
	struct ids now = my_ids();
	same(now.pid, before.pid);
	same(now.ppid, before.ppid);
	same(now.pgid, before.pgid);
	same(now.sid, before.sid);
	add_one(checked);
	while (*checked < MEMBERS) /* whose parent must not end before */
		e2e_sleep_ms(1);
	_exit(0);
}

static pid_t must_fork(void)
{
	pid_t pid = fork();

	must(pid >= 0);
	return pid;
}

/* A child whose parent ends at once. own_group: it leads a group. */
static void orphan(bool own_group)
{
	pid_t middle = must_fork();

	if (!middle) {
		pid_t me = getpid();

		if (must_fork())
			_exit(0);
		if (own_group)
			must(!setpgid(0, 0));
		stay(me);
	}
	must(waitpid(middle, NULL, 0) == middle);
}

/* Leads a session somewhere below the one that adopts its background jobs. */
static void shell(void)
{
	must(setsid() == getpid());
	orphan(false);
	orphan(true);
	stay(0);
}

static void below(void (*fn)(void))
{
	if (!must_fork()) {
		if (!must_fork())
			fn();
		stay(0);
	}
}

/* Makes a session, leaves a daemon in it and ends. */
static void daemonize(void)
{
	pid_t leader = must_fork();

	if (leader) {
		must(waitpid(leader, NULL, 0) == leader);
		return;
	}
	pid_t me = setsid();
	for (int i = 0; i < 2; i++) {
		if (must_fork())
			continue;
		if (i && !must_fork()) /* it has a child, who stays in the session that it leaves */
			stay(0);
		if (i)
			must(setsid() == getpid());
		stay(me);
	}
	_exit(0);
}

/* Another subreaper, below the first one. */
static void inner(void)
{
	must(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	below(shell);
	daemonize();
	stay(0);
}

int main(int argc, char **argv)
{
	int status;

	e2e_begin(argc, argv);
	must(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	ready = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	checked = ready + 1;
	below(shell);
	daemonize();
	below(inner);
	while (*ready < MEMBERS)
		e2e_sleep_ms(1);

	e2e_wait();

	while (*checked < MEMBERS)
		e2e_sleep_ms(1);
	must(!prctl(PR_GET_CHILD_SUBREAPER, &status) && status == 1);
	orphan(false); /* adopted by us after the restore */
	for (pid_t pid; (pid = wait(&status)) > 0;)
		if (status)
			fail("child %d ended with status %#x", pid, status);
	same(*checked, MEMBERS + 1);
	return 0;
}
