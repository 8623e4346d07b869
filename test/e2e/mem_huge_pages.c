/* Huge pages that are written all the time: a live copy and a snapshot split them, and make them whole again. */
#include "e2e.h"

#include <pthread.h>

#define HUGE_PAGE (2ul << 20)
#define BYTES (16ul << 20)
#define PAGE 4096ul

static uint64_t *at;

/* In half of it. */
static void *write_all_the_time(void *arg)
{
	uint64_t round = 0;

	while (!e2e_time_to_check()) {
		round++;
		for (size_t i = 0; i < BYTES / PAGE / 2; i++)
			at[i * PAGE / 8] = round;
		e2e_sleep_ms(1);
	}
	for (size_t i = 0; i < BYTES / PAGE / 2; i++)
		if (at[i * PAGE / 8] != round)
			fail("page %zu has %lu, not %lu", i, at[i * PAGE / 8], round);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t writer;

	e2e_begin(argc, argv);
	char *p = mmap(NULL, BYTES + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED);
	at = (uint64_t *)(((uintptr_t)p + HUGE_PAGE - 1) & -HUGE_PAGE);
	must(!madvise(at, BYTES, MADV_HUGEPAGE));
	for (size_t i = 0; i < BYTES / 8; i++)
		at[i] = i;
	must(!pthread_create(&writer, NULL, write_all_the_time, NULL));
	e2e_wait();
	must(!pthread_join(writer, NULL));
	for (size_t i = 0; i < BYTES / 8; i++)
		if (at[i] != i && (i % (PAGE / 8) || i >= BYTES / 16))
			fail("word %zu is %lu", i, at[i]);
	return 0;
}
