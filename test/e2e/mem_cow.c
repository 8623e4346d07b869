/* Private memory shared by fork: parent and children see their own versions of a page, and of zero pages. */
#include "e2e.h"

#define PAGES 256

static char *area;

static void check(int who)
{
	for (size_t i = 0; i < PAGES; i++)
		e2e_verify(area + i * E2E_PAGE, E2E_PAGE, i % 8 == (size_t)who ? 1000 + i + who : i, "page after fork");
}

static void child(void *arg)
{
	int who = *(int *)arg;

	for (size_t i = 0; i < PAGES; i++)
		if (i % 8 == (size_t)who)
			e2e_fill(area + i * E2E_PAGE, E2E_PAGE, 1000 + i + who);
	e2e_child_ready();
	e2e_wait();
	check(who);
	memset(area, who, PAGES * E2E_PAGE);
	_exit(0);
}

int main(int argc, char **argv)
{
	pid_t pid[3];

	e2e_begin(argc, argv);
	area = mmap(NULL, PAGES * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (size_t i = 0; i < PAGES; i++)
		e2e_fill(area + i * E2E_PAGE, E2E_PAGE, i);
	for (int i = 0; i < 3; i++)
		pid[i] = e2e_fork(child, &(int){ i + 1 });

	e2e_wait();

	for (int i = 0; i < 3; i++)
		e2e_join(pid[i]);
	check(9); /* the parent wrote nothing */
	return 0;
}
