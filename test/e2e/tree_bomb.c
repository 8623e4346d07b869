/*
 * Processes that fork, vfork, execute, make threads and end as fast as they can: they are caught at any moment, and
 * every end that a parent waits for is the right one. One family moves on all the time: each child forks the next and
 * ends.
 */
#include "e2e.h"

#include <pthread.h>
#include <spawn.h>

extern char **environ;

static void forks(void *arg)
{
	int status;

	e2e_child_ready();
	for (unsigned int n = 0; !e2e_time_to_check(); n++) {
		pid_t pid = fork();

		must(pid >= 0);
		if (!pid)
			_exit(n & 0x7f);
		must(waitpid(pid, &status, 0) == pid);
		must(WIFEXITED(status));
		same(WEXITSTATUS(status), n & 0x7f);
	}
	_exit(0);
}

static void *twice(void *arg)
{
	return (void *)(2 * (long)arg);
}

static void makes_threads(void *arg)
{
	pthread_t t[3];
	void *result;

	e2e_child_ready();
	for (long n = 0; !e2e_time_to_check(); n++) {
		for (long i = 0; i < 3; i++)
			must(!pthread_create(&t[i], NULL, twice, (void *)(n + i)));
		for (long i = 0; i < 3; i++) {
			must(!pthread_join(t[i], &result));
			same((long)result, 2 * (n + i));
		}
	}
	_exit(0);
}

static void executes(void *arg)
{
	char *argv[] = { "true", NULL };
	int status;
	pid_t pid;

	e2e_child_ready();
	while (!e2e_time_to_check()) {
		must(!posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ));
		must(waitpid(pid, &status, 0) == pid);
		same(status, 0);
	}
	_exit(0);
}

static void moves_on(void *arg)
{
	e2e_child_ready();
	for (int n = 0; !e2e_time_to_check(); n++) {
		pid_t pid = fork();

		must(pid >= 0);
		if (pid)
			_exit(0);
		for (volatile int i = 0; i < 20000; i++)
			;
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	int status;

	e2e_begin(argc, argv);
	must(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	e2e_fork(forks, NULL);
	e2e_fork(makes_threads, NULL);
	e2e_fork(executes, NULL);
	e2e_fork(moves_on, NULL);
	e2e_ready();

	/* all that end are its children, some adopted; each must have found all as it should be */
	for (pid_t pid; (pid = wait(&status)) > 0 || errno == EINTR;)
		if (pid > 0 && status)
			fail("child %d ended with status %#x", pid, status);
	must(e2e_time_to_check());
	return 0;
}
