/*
 * Pages that three generations share since fork stay one page for all, whatever each did to its own areas:
 * unmapped, protected, thrown away, written, grown.
 */
#include "e2e.h"

#define PAGES 64
#define AREAS 7
#define EXCLUSIVE (1ull << 56) /* of /proc/PID/pagemap: mapped once */
#define PRESENT (1ull << 63)

enum { PLAIN, CHILD_CUT, PARENT_CUT, CHILD_PROTECTED, PARENT_PROTECTED, THROWN_AWAY, OF_FILE };

static char *area[AREAS];
static int *arrived; /* shared: how many have come to each point */

/* One letter a page: e, mapped here only; s, shared; -, not there. */
static void look(int n, char *text)
{
	uint64_t words[PAGES] = {};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	must(fd >= 0);
	must(pread(fd, words, sizeof(words), (uintptr_t)area[n] / E2E_PAGE * 8) == sizeof(words));
	close(fd);
	for (int i = 0; i < PAGES; i++)
		text[i] = !(words[i] & PRESENT) ? '-' : words[i] & EXCLUSIVE ? 'e' : 's';
	text[PAGES] = 0;
}

static void make_area(int n)
{
	char *room = mmap(NULL, (PAGES + 2) * E2E_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = -1;

	must(room != MAP_FAILED);
	area[n] = room + E2E_PAGE;
	if (n == OF_FILE) {
		fd = open(e2e_path("mapped"), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
		must(fd >= 0 && !ftruncate(fd, PAGES * E2E_PAGE));
	}
	must(mmap(area[n], PAGES * E2E_PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0) == area[n]);
	for (int i = 0; i < PAGES; i++)
		if (n != OF_FILE || i % 2)
			e2e_fill(area[n] + i * E2E_PAGE, E2E_PAGE, 1 + n * PAGES + i);
	if (fd >= 0)
		close(fd);
}

static void compare(int n, const char *was)
{
	char now[PAGES + 1];

	look(n, now);
	if (strcmp(now, was))
		fail("area %d: %s now, %s before", n, now, was);
}

/* All three wait here for each other. */
static void meet(int point)
{
	__atomic_add_fetch(&arrived[point], 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&arrived[point], __ATOMIC_SEQ_CST) < 3)
		e2e_sleep_ms(1);
}

static void await_check(void)
{
	char was[AREAS][PAGES + 1];

	meet(0);
	for (int n = 0; n < AREAS; n++)
		look(n, was[n]);
	meet(1);
	e2e_wait();
	for (int n = 0; n < AREAS; n++)
		compare(n, was[n]);
	/* Before anybody ends. */
	meet(2);
}

static void verify(int n, int from, int to, int who)
{
	for (int i = from; i < to; i++)
		if (n != OF_FILE || i % 2)
			e2e_verify(area[n] + i * E2E_PAGE, E2E_PAGE, who * 100000 + 1 + n * PAGES + i, "page");
}

static void write_some(int who, int from, int to)
{
	for (int i = from; i < to; i++)
		e2e_fill(area[PLAIN] + i * E2E_PAGE, E2E_PAGE, who * 100000 + 1 + i);
}

static void __attribute__((noinline)) deep(int levels)
{
	volatile char room[8192];

	memset((char *)room, levels, sizeof(room));
	if (levels)
		deep(levels - 1);
	else
		await_check();
	for (size_t i = 0; i < sizeof(room); i++)
		must(room[i] == (char)levels);
}

static void grandchild(void *arg)
{
	write_some(2, 20, 28);
	must(!munmap(area[CHILD_PROTECTED], 8 * E2E_PAGE));
	e2e_child_ready();
	deep(100);
	verify(PLAIN, 0, 8, 0);
	verify(PLAIN, 8, 16, 1);
	verify(PLAIN, 20, 28, 2);
	verify(CHILD_PROTECTED, 8, PAGES, 0);
	_exit(0);
}

static void child(void *arg)
{
	write_some(1, 8, 16);
	must(!munmap(area[CHILD_CUT] + PAGES / 2 * E2E_PAGE, PAGES / 2 * E2E_PAGE));
	must(!mprotect(area[CHILD_PROTECTED] + 16 * E2E_PAGE, 16 * E2E_PAGE, PROT_READ));
	must(!madvise(area[THROWN_AWAY] + 4 * E2E_PAGE, 16 * E2E_PAGE, MADV_DONTNEED));
	char *heap = sbrk(1 << 20);
	e2e_fill(heap, 1 << 20, 77);
	pid_t pid = e2e_fork(grandchild, NULL);

	e2e_child_ready();
	await_check();
	e2e_join(pid);
	verify(PLAIN, 0, 8, 0);
	verify(PLAIN, 8, 16, 1);
	verify(CHILD_CUT, 0, PAGES / 2, 0);
	verify(PARENT_CUT, 0, PAGES, 0);
	verify(CHILD_PROTECTED, 0, PAGES, 0);
	verify(PARENT_PROTECTED, 0, PAGES, 0);
	verify(THROWN_AWAY, 20, PAGES, 0);
	for (size_t i = 4 * E2E_PAGE; i < 20 * E2E_PAGE; i++)
		must(!area[THROWN_AWAY][i]);
	verify(OF_FILE, 0, PAGES, 0);
	e2e_verify(heap, 1 << 20, 77, "heap");
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	for (int n = 0; n < AREAS; n++)
		make_area(n);
	arrived = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(arrived != MAP_FAILED);
	pid_t pid = e2e_fork(child, NULL);
	must(!munmap(area[PARENT_CUT] + PAGES / 2 * E2E_PAGE, PAGES / 2 * E2E_PAGE));
	must(!mprotect(area[PARENT_PROTECTED] + 16 * E2E_PAGE, 16 * E2E_PAGE, PROT_READ));

	await_check();

	e2e_join(pid);
	verify(PLAIN, 0, PAGES, 0);
	verify(CHILD_CUT, 0, PAGES, 0);
	verify(PARENT_CUT, 0, PAGES / 2, 0);
	verify(PARENT_PROTECTED, 0, PAGES, 0);
	verify(THROWN_AWAY, 0, PAGES, 0);
	verify(OF_FILE, 0, PAGES, 0);
	return 0;
}
