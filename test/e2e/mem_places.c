/*
 * Memory in unusual places and of unusual origin: at the lowest and the highest address, reservations of terabytes, an
 * area of its own that grows down, mappings of /dev/zero, private and shared with a child.
 */
#include "e2e.h"

#define HIGHEST ((1ul << 47) - 2 * E2E_PAGE)
#define TIB (1ul << 40)

static char *shared;

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	strcpy(shared, "child");
	_exit(0);
}

static unsigned long lowest(void)
{
	FILE *f = fopen("/proc/sys/vm/mmap_min_addr", "r");
	unsigned long at = 65536;

	if (f && fscanf(f, "%lu", &at) != 1)
		at = 65536;
	if (f)
		fclose(f);
	return at < E2E_PAGE ? E2E_PAGE : at;
}

/* Touches the page below the area: the kernel lets it grow. */
static void grow(volatile char *area, int pages)
{
	for (int i = 1; i <= pages; i++)
		area[-(long)(i * E2E_PAGE)] = i;
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	char *low = mmap((void *)lowest(), E2E_PAGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	char *high = mmap((void *)HIGHEST, E2E_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	char *none = mmap(NULL, 4 * TIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *sparse = mmap(NULL, TIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(low != MAP_FAILED && none != MAP_FAILED && sparse != MAP_FAILED);
	char *down = mmap(none + 1024 * E2E_PAGE, 2 * E2E_PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN, -1, 0);
	must(down != MAP_FAILED);
	int zero = open("/dev/zero", O_RDWR);
	char *mine = mmap(NULL, 8 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
	shared = mmap(NULL, 8 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, zero, 0);
	must(mine != MAP_FAILED && shared != MAP_FAILED && !close(zero));
	/* Room to grow, behind a gap: now that nothing else looks for a place, which it could get there. */
	must(!munmap(none, 1024 * E2E_PAGE));
	grow(down, 3);
	strcpy(low, "low");
	if (high != MAP_FAILED)
		strcpy(high, "high");
	for (size_t i = 0; i < 64; i++)
		sparse[i * (TIB / 64)] = i + 1;
	must(!mprotect(none + 2 * TIB, E2E_PAGE, PROT_READ | PROT_WRITE));
	strcpy(none + 2 * TIB, "island");
	strcpy(mine + E2E_PAGE, "mine");
	strcpy(shared + E2E_PAGE, "shared");
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	e2e_join(pid);
	must(!strcmp(low, "low") && (high == MAP_FAILED || !strcmp(high, "high")));
	must(!strcmp(none + 2 * TIB, "island"));
	for (size_t i = 0; i < 64; i++)
		same(sparse[i * (TIB / 64)], i + 1);
	must(!mine[0] && !strcmp(mine + E2E_PAGE, "mine"));
	must(!strcmp(shared, "child") && !strcmp(shared + E2E_PAGE, "shared"));
	for (int i = 1; i <= 3; i++)
		same(down[-(long)(i * E2E_PAGE)], i);
	grow(down - 3 * E2E_PAGE, 3);
	return 0;
}
