/* What madvise and mlock set on areas (the runner compares VmFlags), and WIPEONFORK and DONTFORK at work. */
#include "e2e.h"

static char *new_area(int advice)
{
	char *area = mmap(NULL, 4 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(area != MAP_FAILED);
	/* A neighbour of other protection, so that areas stay apart. */
	must(mmap(NULL, E2E_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	e2e_fill(area, 4 * E2E_PAGE, advice);
	if (advice && madvise(area, 4 * E2E_PAGE, advice))
		skip("madvise %d: %s", advice, strerror(errno));
	return area;
}

static char *wiped;

static void child(void *arg)
{
	e2e_child_ready();
	must(wiped[0] == 0 && wiped[E2E_PAGE] == 0);
	_exit(0);
}

int main(int argc, char **argv)
{
	static const int advices[] = { MADV_DONTFORK, MADV_DONTDUMP, MADV_SEQUENTIAL,
				       MADV_RANDOM,   MADV_HUGEPAGE, MADV_NOHUGEPAGE };
	char *area[6];

	e2e_begin(argc, argv);
	for (int i = 0; i < 6; i++)
		area[i] = new_area(advices[i]);
	wiped = new_area(MADV_WIPEONFORK);
	char *locked = new_area(0);
	if (mlock(locked, 4 * E2E_PAGE))
		skip("mlock: %s", strerror(errno));

	/* memory that the kernel may drop, since 6.11; its contents may be gone, the area may not */
	char *droppable = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, 0x08 | MAP_ANONYMOUS, -1, 0);

	e2e_wait();

	if (droppable != MAP_FAILED)
		memset(droppable, 1, E2E_PAGE);
	for (int i = 0; i < 6; i++)
		e2e_verify(area[i], 4 * E2E_PAGE, advices[i], "advised area");
	e2e_verify(wiped, 4 * E2E_PAGE, MADV_WIPEONFORK, "area that is wiped on fork");
	e2e_verify(locked, 4 * E2E_PAGE, 0, "locked area");
	e2e_join(e2e_fork(child, NULL));
	return 0;
}
