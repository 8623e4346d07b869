/*
 * Guard regions (MADV_GUARD_INSTALL): in touched and untouched memory, in a shared mapping of a file;
 * they stop who touches them, and give memory back when they are removed.
 */
#include "e2e.h"

#include <setjmp.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#define PAGES 64

static sigjmp_buf stopped;

static void on_fault(int sig)
{
	siglongjmp(stopped, 1);
}

static bool is_guard(volatile char *at)
{
	if (sigsetjmp(stopped, 1))
		return true;
	(void)*at;
	return false;
}

static void check(char *at, int first, int last, const char *what)
{
	for (int i = 0; i < PAGES; i++)
		if (is_guard(at + i * E2E_PAGE) != (i >= first && i <= last))
			fail("%s: page %d is %s guard", what, i, is_guard(at + i * E2E_PAGE) ? "a" : "no");
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	size_t len = PAGES * E2E_PAGE;
	int fd = open("file", O_CREAT | O_RDWR, 0600);
	must(fd >= 0 && !ftruncate(fd, len));
	char *touched = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *untouched = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *file = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(touched != MAP_FAILED && untouched != MAP_FAILED && file != MAP_FAILED);
	e2e_fill(touched, len, 1);
	if (madvise(touched + 4 * E2E_PAGE, 3 * E2E_PAGE, MADV_GUARD_INSTALL))
		skip("no guard regions: Linux 6.13");
	must(!madvise(untouched, 8 * E2E_PAGE, MADV_GUARD_INSTALL));
	bool in_files = !madvise(file + 60 * E2E_PAGE, 4 * E2E_PAGE, MADV_GUARD_INSTALL); /* 6.15 */
	signal(SIGSEGV, on_fault);

	e2e_wait();

	check(touched, 4, 6, "touched");
	check(untouched, 0, 7, "untouched");
	check(file, in_files ? 60 : -1, in_files ? 63 : -2, "file");
	e2e_verify(touched, 4 * E2E_PAGE, 1, "before the guards");
	must(!madvise(touched, len, MADV_GUARD_REMOVE));
	for (size_t i = 0; i < 3 * E2E_PAGE; i++)
		must(!touched[4 * E2E_PAGE + i]);
	return 0;
}
