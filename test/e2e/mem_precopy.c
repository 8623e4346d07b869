/*
 * Memory that changes all the time while it is copied: every page knows its place and its version, and a list beside
 * it, written right before, knows the version that the page must have, or is just getting. Areas come, go, move, grow,
 * are emptied and are shared with children meanwhile.
 */
#include "e2e.h"

#include <pthread.h>

#define PAGES 2048
#define WRITERS 3
#define CHURN 64 /* pages of an area that comes and goes */

struct page {
	uint64_t place, version, check;
	uint64_t rest[509];
};

struct field {
	struct page *page;
	volatile uint64_t version[PAGES];
};

static struct field fields[WRITERS];

static uint64_t mix(uint64_t a, uint64_t b)
{
	return (a * 0x9e3779b97f4a7c15ul) ^ (b * 0xc2b2ae3d27d4eb4ful);
}

static void write_page(struct page *p, uint64_t place, uint64_t version)
{
	p->place = place;
	p->rest[place % 509] = version;
	p->check = mix(place, version);
	p->version = version;
}

/* A thread may have been stopped in the middle of a page: then the list is one ahead. */
static void check_page(const struct page *p, uint64_t place, uint64_t version)
{
	bool just_written = p->version + 1 == version;

	if (!version) {
		must(!p->place && !p->version && !p->check);
		return;
	}
	if (p->version != version && !just_written)
		fail("page %lu has version %lu, not %lu", place, p->version, version);
	if (!just_written && (p->place != place || p->check != mix(place, version) || p->rest[place % 509] != version))
		fail("page %lu of version %lu is torn", place, version);
}

static struct page *map(size_t pages)
{
	struct page *p = mmap(NULL, pages * sizeof(*p), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED);
	return p;
}

static void *write_all_the_time(void *arg)
{
	struct field *f = arg;
	unsigned int seed = 1 + (f - fields);

	while (!e2e_time_to_check()) {
		for (int i = 0; i < 200; i++) {
			/* a few pages often, the others now and then */
			size_t place = rand_r(&seed) % (rand_r(&seed) % 8 ? 64 : PAGES);
			uint64_t version = f->version[place] + 1;

			f->version[place] = version;
			__asm__ volatile("" ::: "memory");
			write_page(&f->page[place], place, version);
		}
		e2e_sleep_ms(1);
	}
	for (size_t i = 0; i < PAGES; i++)
		check_page(&f->page[i], i, f->version[i]);
	return NULL;
}

/* Areas whose pages move, vanish, come back and are shared. */
static void churn(unsigned int *seed)
{
	struct page *p = map(CHURN), *moved;

	for (size_t i = 0; i < CHURN; i++)
		write_page(&p[i], i, 1);
	must(!madvise(&p[CHURN / 2], CHURN / 4 * sizeof(*p), MADV_DONTNEED));
	moved = mremap(p, CHURN * sizeof(*p), 2 * CHURN * sizeof(*p), MREMAP_MAYMOVE);
	must(moved != MAP_FAILED);
	must(!mprotect(&moved[1], sizeof(*p), PROT_NONE) && !mprotect(&moved[1], sizeof(*p), PROT_READ | PROT_WRITE));
	write_page(&moved[CHURN], CHURN, 2);
	pid_t child = rand_r(seed) % 16 ? -1 : fork();
	if (!child)
		_exit(moved[CHURN].version != 2);
	for (size_t i = 0; i < CHURN; i++)
		check_page(&moved[i], i, i < CHURN / 2 || i >= CHURN / 4 * 3);
	check_page(&moved[CHURN], CHURN, 2);
	must(!munmap(moved, 2 * CHURN * sizeof(*p)));
	int status = 0;
	must(child < 0 || (waitpid(child, &status, 0) == child && !status));
}

int main(int argc, char **argv)
{
	pthread_t threads[WRITERS];
	unsigned int seed = 7;

	e2e_begin(argc, argv);
	struct page *idle = map(PAGES);
	for (size_t i = 0; i < PAGES; i++)
		write_page(&idle[i], i, 3);
	for (int i = 0; i < WRITERS; i++) {
		fields[i].page = map(PAGES);
		must(!pthread_create(&threads[i], NULL, write_all_the_time, &fields[i]));
	}
	e2e_ready();
	while (!e2e_time_to_check()) {
		churn(&seed);
		e2e_sleep_ms(1);
	}
	for (int i = 0; i < WRITERS; i++)
		must(!pthread_join(threads[i], NULL));
	for (size_t i = 0; i < PAGES; i++)
		check_page(&idle[i], i, 3);
	return 0;
}
