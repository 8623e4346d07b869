/*
 * Locked memory: in part, on fault, with guards, with areas that nobody can touch, and for memory to come: all of it at
 * once in one child, on fault in another.
 */
#include "e2e.h"

#include <ctype.h>

/* The VmFlags of the area at the address. */
static void flags_of(const void *at, char *flags, size_t size)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];
	bool found = false;

	must(f);
	*flags = 0;
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (isxdigit(line[0]) && sscanf(line, "%lx-%lx ", &start, &end) == 2)
			found = (unsigned long)at >= start && (unsigned long)at < end;
		if (found && !strncmp(line, "VmFlags:", 8))
			snprintf(flags, size, "%s", line + 8);
	}
	fclose(f);
}

static void expect_locked(const void *at, bool locked, bool on_fault)
{
	char flags[512];

	flags_of(at, flags, sizeof(flags));
	if (!strstr(flags, " lo ") == locked || !strstr(flags, " lf ") == on_fault)
		fail("the area at %p has the flags%s", at, flags);
}

static char *map(int prot)
{
	char *at = mmap(NULL, 16 * E2E_PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(at != MAP_FAILED);
	return at;
}

static void need_flags(void)
{
	char flags[512], *at = map(PROT_READ);

	if (mlock2(at, E2E_PAGE, MLOCK_ONFAULT))
		skip("mlock2: %s", strerror(errno));
	flags_of(at, flags, sizeof(flags));
	if (!strstr(flags, " lf "))
		skip("this kernel does not tell which areas are locked on fault");
	munmap(at, 16 * E2E_PAGE);
}

static void future(void *arg)
{
	int flags = *(int *)arg;

	must(!mlockall(flags));
	char *before = map(PROT_READ | PROT_WRITE);
	must(!munlock(before, 8 * E2E_PAGE));
	e2e_child_ready();
	e2e_wait();
	expect_locked(before, false, false);
	expect_locked(before + 8 * E2E_PAGE, true, flags & MCL_ONFAULT);
	char *after = map(PROT_READ);
	unsigned char there = 0;
	expect_locked(after, true, flags & MCL_ONFAULT);
	must(!mincore(after, E2E_PAGE, &there));
	same(there & 1, !(flags & MCL_ONFAULT));
	must(!munlockall());
	expect_locked(map(PROT_READ), false, false);
	_exit(0);
}

static void current(void *arg)
{
	char *none = map(PROT_NONE);

	if (mlockall(MCL_CURRENT))
		_exit(77);
	e2e_child_ready();
	e2e_wait();
	expect_locked(none, true, false);
	expect_locked(map(PROT_READ), false, false);
	_exit(0);
}

int main(int argc, char **argv)
{
	int all = MCL_FUTURE, on_fault = MCL_FUTURE | MCL_ONFAULT;

	e2e_begin(argc, argv);
	need_flags();
	char *area = map(PROT_READ | PROT_WRITE);
	if (mlock(area, 4 * E2E_PAGE))
		skip("can't lock memory: %s", strerror(errno));
	must(!mlock2(area + 8 * E2E_PAGE, 4 * E2E_PAGE, MLOCK_ONFAULT));
	area[9 * E2E_PAGE] = 9;
	char *guarded = map(PROT_READ | PROT_WRITE);
	madvise(guarded + E2E_PAGE, E2E_PAGE, 102 /* MADV_GUARD_INSTALL, 6.13: or it is memory like all */);
	must(!mlock2(guarded, 16 * E2E_PAGE, MLOCK_ONFAULT));
	pid_t pids[] = { e2e_fork(future, &all), e2e_fork(future, &on_fault), e2e_fork(current, NULL) };

	e2e_wait();

	expect_locked(area, true, false);
	expect_locked(area + 4 * E2E_PAGE, false, false);
	expect_locked(area + 8 * E2E_PAGE, true, true);
	expect_locked(area + 12 * E2E_PAGE, false, false);
	expect_locked(guarded, true, true);
	same(area[9 * E2E_PAGE], 9);
	for (int i = 0; i < 3; i++)
		e2e_join(pids[i]);
	return 0;
}
