/*
 * Huge pages (hugetlb): private and shared anonymous memory, a memfd, mapped shared and private, some of them never
 * touched, shared with a child.
 */
#include "e2e.h"

#include <linux/memfd.h>
#include <linux/mman.h>

#define HUGE (2ul << 20)

static char *shared;

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	strcpy(shared + HUGE, "child");
	_exit(0);
}

static char *map(size_t pages, int flags, int fd)
{
	char *at = mmap(NULL, pages * HUGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (at == MAP_FAILED && errno == ENOMEM)
		skip("not enough huge pages: vm.nr_hugepages should be 20");
	must(at != MAP_FAILED);
	return at;
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	char *mine = map(2, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT, -1);
	shared = map(2, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT, -1);
	int memfd = memfd_create("huge", MFD_HUGETLB | MFD_HUGE_2MB | MFD_ALLOW_SEALING);
	must(memfd >= 0 && !ftruncate(memfd, 2 * HUGE));
	char *file = map(2, MAP_SHARED, memfd), *copy = map(1, MAP_PRIVATE, memfd);
	e2e_fill(mine, HUGE, 1);
	strcpy(shared, "parent");
	e2e_fill(file + HUGE, HUGE, 2);
	strcpy(file, "file");
	copy[0] = 'F';
	must(!fcntl(memfd, F_ADD_SEALS, F_SEAL_GROW) && lseek(memfd, HUGE + 8, SEEK_SET) == HUGE + 8);
	must(!mprotect(mine + HUGE, HUGE, PROT_READ));
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	e2e_join(pid);
	e2e_verify(mine, HUGE, 1, "private");
	must(!mine[HUGE] && !strcmp(shared, "parent") && !strcmp(shared + HUGE, "child"));
	e2e_verify(file + HUGE, HUGE, 2, "memfd");
	must(!strcmp(file, "file") && !strcmp(copy, "File"));
	same(fcntl(memfd, F_GET_SEALS), F_SEAL_GROW);
	same(lseek(memfd, 0, SEEK_CUR), HUGE + 8);
	strcpy(file, "life");
	must(!strcmp(copy, "File"));
	char *again = map(1, MAP_SHARED, memfd);
	must(!strcmp(again, "life"));
	return 0;
}
