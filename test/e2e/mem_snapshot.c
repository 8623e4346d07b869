/*
 * A task with much memory at rest and some that is written all the time, which forks all the time, too: whatever a dump
 * does to its memory for a moment, all children have all of it, and none that is not its own is seen by wait(2).
 */
#include "e2e.h"

#include <pthread.h>

#define IDLE (24ul << 20) /* bytes */
#define HOT (16ul << 20)
#define PAGE 4096ul

static uint64_t *idle, *hot;

static uint64_t *map(size_t bytes)
{
	uint64_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED);
	return p;
}

static void check_idle(void)
{
	for (size_t i = 0; i < IDLE / PAGE; i++)
		if (idle[i * PAGE / 8] != i * 3 + 1)
			fail("page %zu at rest has %lu, not %zu", i, idle[i * PAGE / 8], i * 3 + 1);
}

/* Each page gets the number of the round, from the first page to the last. */
static void *write_all_the_time(void *arg)
{
	uint64_t round = 0;

	while (!e2e_time_to_check()) {
		round++;
		for (size_t i = 0; i < HOT / PAGE; i++)
			hot[i * PAGE / 8 + i % 500] = round;
		e2e_sleep_ms(1);
	}
	for (size_t i = 0; i < HOT / PAGE; i++)
		if (hot[i * PAGE / 8 + i % 500] != round)
			fail("page %zu has %lu, not %lu", i, hot[i * PAGE / 8 + i % 500], round);
	return NULL;
}

static void *fork_all_the_time(void *arg)
{
	while (!e2e_time_to_check()) {
		pid_t child = fork();
		int status = 0;

		if (!child) {
			check_idle();
			_exit(0);
		}
		/* -1: any child, but there must be no other */
		must(child > 0 && waitpid(-1, &status, __WALL) == child && !status);
		e2e_sleep_ms(1);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t writer, forker;

	e2e_begin(argc, argv);
	idle = map(IDLE);
	must(mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	hot = map(HOT);
	for (size_t i = 0; i < IDLE / PAGE; i++)
		idle[i * PAGE / 8] = i * 3 + 1;
	must(!pthread_create(&writer, NULL, write_all_the_time, NULL));
	must(!pthread_create(&forker, NULL, fork_all_the_time, NULL));
	e2e_wait();
	must(!pthread_join(writer, NULL) && !pthread_join(forker, NULL));
	check_idle();
	must(waitpid(-1, NULL, __WALL | WNOHANG) == -1 && errno == ECHILD);
	return 0;
}
