/*
 * Attributes of tasks: names of threads, personality, signal at the parent's death, adjustment for the OOM killer,
 * child subreaper, command line and environment (the runner compares these as the kernel shows them).
 */
#include "e2e.h"

#include <pthread.h>
#include <sys/personality.h>

static volatile int ready;

static void expect_name(const char *name)
{
	char now[17] = "";

	prctl(PR_GET_NAME, now);
	if (strcmp(now, name))
		fail("the thread is called %s, not %s", now, name);
}

static void *thread(void *arg)
{
	prctl(PR_SET_NAME, "a (th) read\"");
	ready = 1;
	e2e_wait();
	expect_name("a (th) read\"");
	return NULL;
}

static void child(void *arg)
{
	int sig = 0, reaper = 0;
	char text[32] = "";

	prctl(PR_SET_NAME, "child");
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	must(personality(ADDR_NO_RANDOMIZE) >= 0);
	e2e_child_ready();
	e2e_wait();
	expect_name("child");
	must(!prctl(PR_GET_PDEATHSIG, &sig));
	same(sig, SIGUSR1);
	must(!prctl(PR_GET_CHILD_SUBREAPER, &reaper));
	same(reaper, 1);
	same(personality(0xffffffff), ADDR_NO_RANDOMIZE);
	int fd = open("/proc/self/oom_score_adj", O_RDONLY);
	must(read(fd, text, sizeof(text) - 1) > 0);
	same(atoi(text), 321);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t other;

	e2e_begin(argc, argv);
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);
	if (fd < 0 || write(fd, "321", 3) != 3)
		skip("oom_score_adj: %s", strerror(errno));
	close(fd);
	setenv("AN_ENTRY", "of the environment", 1);
	must(!pthread_create(&other, NULL, thread, NULL));
	while (!ready)
		e2e_sleep_ms(1);
	pid_t pid = e2e_fork(child, NULL);
	prctl(PR_SET_NAME, "");

	e2e_wait();

	expect_name("");
	must(!strcmp(getenv("AN_ENTRY"), "of the environment"));
	pthread_join(other, NULL);
	e2e_join(pid);
	return 0;
}
