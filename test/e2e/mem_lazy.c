/*
 * Memory that is used right after the restore, in every way that matters to who brings it late: by threads, by the
 * kernel, after fork, moved, given back, unmapped and mapped anew, locked, by a program that is executed.
 */
#include <pthread.h>

#include "e2e.h"

#define PAGES 24576ul /* 96 MiB */
#define PART (PAGES / 12)
#define THREADS 4

static uint64_t *memory;

static uint64_t *page(uint64_t i)
{
	return memory + i * E2E_PAGE / sizeof(*memory);
}

static uint64_t value(uint64_t i)
{
	return i * 0x9e3779b97f4a7c15ul | 1;
}

static void check_at(uint64_t *at, uint64_t i)
{
	same(at[0], value(i));
	same(at[E2E_PAGE / 8 - 1], value(i) + 1);
}

static void check_part(uint64_t part)
{
	for (uint64_t i = part * PART; i < (part + 1) * PART; i++)
		check_at(page(i), i);
}

/* In steps that no read-ahead guesses. */
static void *check_scattered(void *arg)
{
	uint64_t seed = (uint64_t)arg;

	for (int n = 0; n < 3000; n++) {
		uint64_t i;

		seed = seed * 6364136223846793005ul + 1442695040888963407ul;
		i = (seed >> 33) % (PART * 3); /* the first three parts stay as they are */
		check_at(page(i), i);
	}
	return NULL;
}

static void check_zeros(uint64_t part)
{
	for (uint64_t i = part * PART; i < (part + 1) * PART; i++)
		same(*page(i), 0);
}

static void join_child(pid_t pid)
{
	int status;

	must(waitpid(pid, &status, 0) == pid);
	same(status, 0);
}

/* A child has all that has not come yet, and so has its child; what they write is their own. */
static void check_forks(void)
{
	pid_t pid = fork();

	must(pid >= 0);
	if (!pid) {
		pid_t grandchild = fork();

		must(grandchild >= 0);
		if (!grandchild) {
			check_part(3);
			*page(4 * PART) = 0;
			must(!madvise(page(3 * PART), PART * E2E_PAGE, MADV_DONTNEED));
			check_zeros(3);
			_exit(0);
		}
		check_part(4);
		join_child(grandchild);
		check_part(3);
		_exit(0);
	}
	join_child(pid);
	check_part(3);
	check_part(4);
}

static void check_moved(void)
{
	size_t len = PART * E2E_PAGE;
	void *room = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(room != MAP_FAILED);
	uint64_t *moved = mremap(page(5 * PART), len, len, MREMAP_MAYMOVE | MREMAP_FIXED, room);
	must(moved == room);
	for (uint64_t i = 0; i < PART; i++)
		check_at(moved + i * E2E_PAGE / 8, 5 * PART + i);
	must(!munmap(moved, len));
}

static void check_given_back(void)
{
	size_t len = PART * E2E_PAGE;

	must(!madvise(page(6 * PART), len, MADV_DONTNEED));
	check_zeros(6);
	must(!munmap(page(7 * PART), len));
	must(mmap(page(7 * PART), len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	     page(7 * PART));
	check_zeros(7);
	/* Areas that are cut where the pages were one piece. */
	for (uint64_t i = 8 * PART; i < 9 * PART; i += 7)
		must(!mprotect(page(i), E2E_PAGE, PROT_READ));
	check_part(8);
}

/* The kernel reads it: for a write to a pipe, and for execve. */
static void check_kernel(void)
{
	uint64_t got[E2E_PAGE / 8];
	int ends[2];

	must(!pipe(ends));
	for (uint64_t i = 9 * PART; i < 10 * PART; i += 3) {
		must(write(ends[1], page(i), E2E_PAGE) == E2E_PAGE);
		must(read(ends[0], got, E2E_PAGE) == E2E_PAGE);
		check_at(got, i);
	}
	must(!mlock(page(10 * PART), PART * E2E_PAGE / 16));
	check_part(10);
	pid_t pid = fork();
	if (!pid) {
		execl("/bin/true", (char *)page(11 * PART), NULL);
		_exit(127);
	}
	join_child(pid);
	close(ends[0]);
	close(ends[1]);
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];

	e2e_begin(argc, argv);
	memory = mmap(NULL, PAGES * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(memory != MAP_FAILED);
	for (uint64_t i = 0; i < PAGES; i++) {
		page(i)[0] = value(i);
		page(i)[E2E_PAGE / 8 - 1] = value(i) + 1;
	}
	e2e_wait();
	for (uint64_t i = 0; i < THREADS; i++)
		must(!pthread_create(&threads[i], NULL, check_scattered, (void *)(i + 1)));
	check_forks();
	check_moved();
	check_given_back();
	check_kernel();
	for (uint64_t i = 0; i < THREADS; i++)
		must(!pthread_join(threads[i], NULL));
	for (uint64_t part = 0; part < 3; part++)
		check_part(part);
	check_part(11);
	return 0;
}
