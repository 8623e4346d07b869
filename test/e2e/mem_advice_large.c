/*
 * A large area that is kept from children now and then (MADV_DONTFORK), or empty in them (MADV_WIPEONFORK): a dump that
 * needs none of it in its own fork leaves the advice as it finds it, whenever it comes.
 */
#include "e2e.h"

#include <pthread.h>

#define AREA (48ul << 20) /* bytes */
#define HOT (4ul << 20)
#define PAGE 4096ul

static char *area, *hot;

static void *write_all_the_time(void *arg)
{
	for (char round = 1; !e2e_time_to_check(); round++) {
		for (size_t i = 0; i < HOT; i += PAGE)
			hot[i] = round;
		e2e_sleep_ms(1);
	}
	return NULL;
}

/* Whether a child has the area as it was advised, everywhere. */
static void check_child(int advice)
{
	pid_t child = fork();
	int status;

	if (!child) {
		unsigned char there;

		for (size_t i = 0; i < AREA; i += PAGE) {
			bool has = !mincore(area + i, PAGE, &there);

			if (has != (advice != MADV_DONTFORK) || (has && area[i] != (advice != MADV_WIPEONFORK)))
				_exit(1);
		}
		_exit(0);
	}
	must(child > 0 && waitpid(child, &status, 0) == child);
	if (status)
		fail("after madvise %d, a child has something else: status %x", advice, status);
}

static void *advise_all_the_time(void *arg)
{
	static const int advices[] = { MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_KEEPONFORK };

	for (size_t i = 0; !e2e_time_to_check(); i = (i + 1) % 4) {
		must(!madvise(area, AREA, advices[i]));
		e2e_sleep_ms(2);
		check_child(advices[i]);
	}
	return NULL;
}

static char *map(size_t bytes)
{
	char *p = mmap(NULL, bytes + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED);
	p += PAGE;
	must(!mprotect(p, bytes, PROT_READ | PROT_WRITE));
	for (size_t i = 0; i < bytes; i += PAGE)
		p[i] = 1;
	return p;
}

int main(int argc, char **argv)
{
	pthread_t writer, adviser;

	e2e_begin(argc, argv);
	hot = map(HOT);
	area = map(AREA);
	must(!pthread_create(&writer, NULL, write_all_the_time, NULL));
	must(!pthread_create(&adviser, NULL, advise_all_the_time, NULL));
	e2e_wait();
	must(!pthread_join(writer, NULL) && !pthread_join(adviser, NULL));
	for (size_t i = 0; i < AREA; i += PAGE)
		must(area[i] == 1);
	return 0;
}
