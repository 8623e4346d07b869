/* The stack: deep and shallow pages, growth after the restore; and a MAP_GROWSDOWN area that grew. */
#include "e2e.h"

static char *low;

static __attribute__((noinline)) long descend(int depth, long sum)
{
	volatile char frame[E2E_PAGE];

	memset((char *)frame, depth & 0x7f, sizeof(frame));
	if (depth == 0) {
		e2e_wait();
		return sum;
	}
	long below = descend(depth - 1, sum + depth);
	for (size_t i = 0; i < sizeof(frame); i++)
		if (frame[i] != (depth & 0x7f))
			fail("stack frame at depth %d, offset %zu: %d", depth, i, frame[i]);
	return below;
}

static __attribute__((noinline)) void grow(int depth)
{
	volatile char frame[E2E_PAGE];

	memset((char *)frame, depth, sizeof(frame));
	if (depth)
		grow(depth - 1);
	same(frame[5], (char)depth);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	char *hole = mmap(NULL, 2048 * E2E_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(hole != MAP_FAILED);
	munmap(hole, 2048 * E2E_PAGE);
	char *top = mmap(hole + 2000 * E2E_PAGE, 2 * E2E_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	must(top != MAP_FAILED);
	low = top;
	for (int i = 0; i < 8; i++, low -= E2E_PAGE)
		e2e_fill(low, E2E_PAGE, i);

	same(descend(100, 0), 5050);

	low = top;
	for (int i = 0; i < 8; i++, low -= E2E_PAGE)
		e2e_verify(low, E2E_PAGE, i, "growsdown area");
	for (int i = 0; i < 8; i++, low -= E2E_PAGE)
		memset(low, 1, E2E_PAGE); /* still grows */
	grow(500);
	return 0;
}
