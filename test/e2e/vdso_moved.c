/*
 * A vDSO that is not where the kernel has put it: moved as a whole, only its code, without its data, made writable,
 * gone. One child each, which looks at /proc/self/maps before and after.
 */
#include "e2e.h"

#include <sys/auxv.h>

struct area {
	unsigned long start, end;
	char prot[8], name[32];
};

static struct area before[4], after[4];

/* The areas of the vDSO. Returns how many. */
static int look(struct area area[4])
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	must(f);
	memset(area, 0, 4 * sizeof(*area));
	while (n < 4 && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %31s", &area[n].start, &area[n].end, area[n].prot,
			   area[n].name) == 4 &&
		    (!strncmp(area[n].name, "[vvar", 5) || !strcmp(area[n].name, "[vdso]")))
			n++;
	if (n < 4)
		memset(&area[n], 0, sizeof(*area));
	fclose(f);
	return n;
}

static void move(const struct area *a, unsigned long to)
{
	must(mremap((void *)a->start, a->end - a->start, a->end - a->start, MREMAP_MAYMOVE | MREMAP_FIXED, to) ==
	     (void *)to);
}

/* Where nothing is, with room around. */
static unsigned long free_place(void)
{
	char *at = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(at != MAP_FAILED && !munmap(at, 1 << 20));
	return (unsigned long)at + (1 << 19);
}

static void move_all(int n)
{
	unsigned long to = free_place();

	for (int i = 0; i < n; i++)
		move(&before[i], to + before[i].start - before[0].start);
}

static void move_code(int n)
{
	move(&before[n - 1], free_place());
}

static void unmap_data(int n)
{
	for (int i = 0; i < n - 1; i++)
		must(!munmap((void *)before[i].start, before[i].end - before[i].start));
}

static void unmap_code(int n)
{
	must(!munmap((void *)before[n - 1].start, before[n - 1].end - before[n - 1].start));
}

static void unmap_all(int n)
{
	unmap_data(n);
	unmap_code(n);
}

static void make_writable(int n)
{
	must(!mprotect((void *)before[n - 1].start, before[n - 1].end - before[n - 1].start,
		       PROT_READ | PROT_WRITE | PROT_EXEC));
}

/* Sleeps without a library call that might use the vDSO. */
static void child(void *change)
{
	const struct timespec t = { 0, 3000000 };
	int n = look(before);

	((void (*)(int))change)(n);
	n = look(before);
	e2e_child_ready();
	while (!e2e_time_to_check())
		syscall(SYS_nanosleep, &t, NULL);
	same(look(after), n);
	for (int i = 0; i < n; i++) {
		same(after[i].start, before[i].start);
		same(after[i].end, before[i].end);
		must(!strcmp(after[i].prot, before[i].prot) && !strcmp(after[i].name, before[i].name));
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	static void (*const changes[])(int) = { move_all, move_code, unmap_data, unmap_code, unmap_all, make_writable };
	pid_t pids[sizeof(changes) / sizeof(changes[0])];

	e2e_begin(argc, argv);
	if (!getauxval(AT_SYSINFO_EHDR))
		skip("no vDSO");
	for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++)
		pids[i] = e2e_fork(child, changes[i]);
	e2e_wait();
	for (size_t i = 0; i < sizeof(pids) / sizeof(pids[0]); i++)
		e2e_join(pids[i]);
	return 0;
}
