/*
 * Threads that move, shrink, give back and fork their memory at the same time: what is told of that may come in another
 * order than it happened.
 */
#include <pthread.h>

#include "e2e.h"

#define THREADS 4
#define PARTS 32 /* of each thread */
#define PAGES 60 /* of each part, in the beginning */
#define STEPS 1000

struct part {
	char *at;
	unsigned int pages;
	uint64_t value[PAGES]; /* of each page; 0: zeros */
};

static struct part parts[THREADS][PARTS];

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13, *seed ^= *seed >> 7, *seed ^= *seed << 17;
	return *seed;
}

static void check_page(const struct part *p, unsigned int i)
{
	const uint64_t *page = (const uint64_t *)(p->at + i * E2E_PAGE);

	same(page[0], p->value[i]);
	same(page[E2E_PAGE / 8 - 1], p->value[i]);
}

static void check_all(const struct part *of)
{
	for (int i = 0; i < PARTS; i++)
		for (unsigned int page = 0; page < of[i].pages; page++)
			check_page(&of[i], page);
}

static void write_page(struct part *p, unsigned int i, uint64_t value)
{
	uint64_t *page = (uint64_t *)(p->at + i * E2E_PAGE);

	page[0] = page[E2E_PAGE / 8 - 1] = p->value[i] = value;
}

/* To where nothing is, which may be what another thread has left a moment ago. */
static void move(struct part *p)
{
	size_t len = p->pages * E2E_PAGE;
	void *room = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(room != MAP_FAILED);
	p->at = mremap(p->at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	must(p->at == room);
}

static void work(struct part *of, uint64_t *seed, int steps, bool forks)
{
	while (steps--) {
		struct part *p = &of[next(seed) % PARTS];
		unsigned int i = next(seed) % p->pages;

		switch (next(seed) % 8) {
		case 0:
		case 1:
			move(p);
			break;
		case 2:
			write_page(p, i, next(seed) | 1);
			break;
		case 3:
			must(!madvise(p->at + i * E2E_PAGE, E2E_PAGE, MADV_DONTNEED));
			p->value[i] = 0;
			break;
		case 4:
			if (p->pages > PAGES / 2 && !munmap(p->at + (p->pages - 1) * E2E_PAGE, E2E_PAGE))
				p->pages--;
			break;
		case 5:
			if (forks && next(seed) % 16 == 0) {
				pid_t pid = fork();
				int status;

				must(pid >= 0);
				if (!pid) {
					work(of, seed, 50, false);
					_exit(0);
				}
				must(waitpid(pid, &status, 0) == pid);
				same(status, 0);
			}
			break;
		default:
			check_page(p, i);
		}
	}
}

static void *run(void *arg)
{
	uint64_t thread = (uint64_t)arg, seed = 88172645463325252ull + thread;

	work(parts[thread], &seed, STEPS, true);
	check_all(parts[thread]);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	uint64_t seed = 1;

	e2e_begin(argc, argv);
	for (int i = 0; i < THREADS * PARTS; i++) {
		struct part *p = &parts[i % THREADS][i / THREADS];

		p->pages = PAGES;
		p->at = mmap(NULL, PAGES * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(p->at != MAP_FAILED);
		for (unsigned int page = 0; page < PAGES; page++)
			if (next(&seed) % 8)
				write_page(p, page, next(&seed) | 1);
	}
	e2e_wait();
	for (uint64_t i = 0; i < THREADS; i++)
		must(!pthread_create(&threads[i], NULL, run, (void *)i));
	for (uint64_t i = 0; i < THREADS; i++)
		must(!pthread_join(threads[i], NULL));
	return 0;
}
