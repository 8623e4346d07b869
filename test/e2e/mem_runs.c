/*
 * Private memory with pages in all lengths of runs: a restore fills long ones in another way than lone pages, also
 * where both stand in one area, next to pages that were never touched, and in huge pages.
 */
#include "e2e.h"

#define AREA (64ul << 20)

static unsigned long run_pages(unsigned int i)
{
	static const unsigned int pages[] = { 1, 63, 2, 64, 65, 1, 512, 3, 1024 };

	return pages[i % (sizeof(pages) / sizeof(pages[0]))];
}

/* Calls fn for each run, leaving a hole as long behind every second one; returns where the last one ends. */
static char *each_run(char *at, const char *end, void (*fn)(char *page, unsigned long len, unsigned long seed))
{
	for (unsigned int i = 0; at + 2 * run_pages(i) * E2E_PAGE < end; i++) {
		fn(at, run_pages(i) * E2E_PAGE, i);
		at += run_pages(i) * E2E_PAGE * (1 + i % 2) + E2E_PAGE;
	}
	return at;
}

static void fill(char *page, unsigned long len, unsigned long seed)
{
	e2e_fill(page, len, seed);
}

static void verify(char *page, unsigned long len, unsigned long seed)
{
	e2e_verify(page, len, seed, "run of pages");
	must(page[len] == 0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	char *area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *read_only = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	char *huge = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(area != MAP_FAILED && read_only != MAP_FAILED && huge != MAP_FAILED);
	madvise(huge, AREA, MADV_HUGEPAGE); /* in vain where the kernel has none */
	each_run(huge, huge + AREA, fill);
	each_run(area, area + AREA, fill);
	each_run(read_only, read_only + AREA, fill);
	must(!mprotect(read_only, AREA, PROT_READ));

	e2e_wait();

	char *end = each_run(area, area + AREA, verify);
	must(!*end);
	*end = 1;
	each_run(read_only, read_only + AREA, verify);
	each_run(huge, huge + AREA, verify);
	return 0;
}
