/*
 * System calls that are under way: none may return EINTR, or too early, because of a dump or a restore. One thread for
 * each: read on an empty pipe, write on a full one, futex, waitpid, pause, sigsuspend, nanosleep, poll, select, sleep
 * until a time.
 */
#include "e2e.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/select.h>

static int empty[2], full[2], silent[2], word;
static volatile bool go; /* only then may a call return */
static volatile int entered;
static pid_t child_pid;

static void end(const char *what, long result, long expected)
{
	int error = errno;

	if (!go)
		fail("%s returned %ld (%s) before its time", what, result, strerror(error));
	if (result != expected)
		fail("%s returned %ld (%s), not %ld", what, result, strerror(error), expected);
}

static void *do_read(void *arg)
{
	char c = 0;

	entered++;
	end("read", read(empty[0], &c, 1), 1);
	same(c, 'r');
	return NULL;
}

static void *do_write(void *arg)
{
	entered++;
	end("write", write(full[1], "w", 1), 1);
	return NULL;
}

static void *do_futex(void *arg)
{
	entered++;
	end("futex", syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
	return NULL;
}

static void *do_futex_timed(void *arg)
{
	struct timespec t = { 1000, 0 };

	entered++;
	end("futex with a timeout", syscall(SYS_futex, &word, FUTEX_WAIT, 0, &t, NULL, 0), 0);
	return NULL;
}

static void *do_wait(void *arg)
{
	int status;

	entered++;
	end("waitpid", waitpid(child_pid, &status, 0), child_pid);
	must(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return NULL;
}

static void *do_pause(void *arg)
{
	entered++;
	end("pause", pause(), -1);
	return NULL;
}

static void *do_suspend(void *arg)
{
	sigset_t none;

	sigemptyset(&none);
	entered++;
	end("sigsuspend", sigsuspend(&none), -1);
	return NULL;
}

static void *do_poll(void *arg)
{
	struct pollfd p = { silent[0], POLLIN, 0 };

	entered++;
	end("poll", poll(&p, 1, 1000000), 1);
	return NULL;
}

static void *do_select(void *arg)
{
	struct timeval t = { 1000, 0 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(silent[0], &set);
	entered++;
	end("select", select(silent[0] + 1, &set, NULL, NULL, &t), 1);
	return NULL;
}

/* The sleeps are to be checked against the clock: they end by themselves. */
static void *do_nanosleep(void *arg)
{
	struct timespec t = { 2, 0 }, start, now;

	clock_gettime(CLOCK_MONOTONIC, &start);
	entered++;
	if (nanosleep(&t, NULL))
		fail("nanosleep: %s", strerror(errno));
	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < 2000)
		fail("nanosleep returned too early");
	return NULL;
}

static void *do_sleep_until(void *arg)
{
	struct timespec until, now;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 2;
	entered++;
	same(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL), 0);
	clock_gettime(CLOCK_REALTIME, &now);
	if (now.tv_sec < until.tv_sec)
		fail("the sleep until a time returned too early");
	return NULL;
}

static void on_signal(int number)
{
}

static void child(void *arg)
{
	e2e_child_ready();
	for (;;)
		pause();
}

static void let_all_go(pthread_t in_pause, pthread_t in_suspend)
{
	char buf[65536];

	go = true;
	must(write(empty[1], "r", 1) == 1);
	must(read(full[0], buf, sizeof(buf)) == sizeof(buf));
	word = 1;
	must(syscall(SYS_futex, &word, FUTEX_WAKE, 10, NULL, NULL, 0) == 2);
	kill(child_pid, SIGKILL);
	must(write(silent[1], "x", 1) == 1);
	pthread_kill(in_pause, SIGUSR1);
	pthread_kill(in_suspend, SIGUSR1);
}

int main(int argc, char **argv)
{
	static void *(*const calls[])(void *) = { do_pause,  do_suspend,     do_read,	    do_write,
						  do_futex,  do_futex_timed, do_wait,	    do_poll,
						  do_select, do_nanosleep,   do_sleep_until };
	enum { N = sizeof(calls) / sizeof(calls[0]) };
	pthread_t thread[N];
	static char junk[65536];

	e2e_begin(argc, argv);
	signal(SIGUSR1, on_signal);
	must(!pipe(empty) && !pipe(full) && !pipe(silent));
	must(write(full[1], junk, sizeof(junk)) == sizeof(junk));
	child_pid = e2e_fork(child, NULL);
	for (int i = 0; i < N; i++) {
		must(!pthread_create(&thread[i], NULL, calls[i], NULL));
		while (entered <= i)
			e2e_sleep_ms(1);
	}
	e2e_sleep_ms(20); /* for the last one to be inside its call */

	e2e_wait();

	e2e_sleep_ms(20);
	let_all_go(thread[0], thread[1]);
	for (int i = 0; i < N; i++)
		must(!pthread_join(thread[i], NULL));
	return 0;
}
