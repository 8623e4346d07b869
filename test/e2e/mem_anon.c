/* Private anonymous memory: many pages, pages written back to zero, never touched pages, brk heap. */
#include "e2e.h"

#define PAGES 512

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	size_t len = PAGES * E2E_PAGE;
	char *all = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *odd = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *none = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(all != MAP_FAILED && odd != MAP_FAILED && none != MAP_FAILED);
	e2e_fill(all, len, 1);
	memset(all, 0, E2E_PAGE);
	for (size_t i = 1; i < PAGES; i += 2)
		e2e_fill(odd + i * E2E_PAGE, E2E_PAGE, 100 + i);
	char *heap = sbrk(64 * E2E_PAGE);
	must(heap != (void *)-1);
	e2e_fill(heap, 64 * E2E_PAGE, 2);

	e2e_wait();

	char zero[E2E_PAGE] = "";
	char *expect = malloc(len);
	must(expect);
	e2e_fill(expect, len, 1);
	if (memcmp(all, zero, E2E_PAGE) || memcmp(all + E2E_PAGE, expect + E2E_PAGE, len - E2E_PAGE))
		fail("the full area has other content");
	for (size_t i = 0; i < PAGES; i++) {
		if (i & 1)
			e2e_verify(odd + i * E2E_PAGE, E2E_PAGE, 100 + i, "odd pages");
		else if (memcmp(odd + i * E2E_PAGE, zero, E2E_PAGE))
			fail("page %zu was never written, but is not zero", i);
	}
	for (size_t i = 0; i < PAGES; i++)
		if (memcmp(none + i * E2E_PAGE, zero, E2E_PAGE))
			fail("page %zu of the untouched area is not zero", i);
	e2e_verify(heap, 64 * E2E_PAGE, 2, "heap");
	/* The memory is still ours to write, and the heap still grows where it ended. */
	memset(all, 1, len);
	memset(none, 1, len);
	char *end = sbrk(0);
	must(sbrk(E2E_PAGE) == end);
	memset(end, 1, E2E_PAGE);
	return 0;
}
