/* Shared anonymous memory: between parent, child and grandchild, at other addresses, in parts, and with one task only.
 */
#include "e2e.h"

#include <sys/mman.h>

#define LEN (64 * E2E_PAGE)

static char *area, *alone;

static void expect_word(int index, const char *word)
{
	if (strcmp(area + index * E2E_PAGE, word))
		fail("page %d holds \"%.20s\", not \"%s\"", index, area + index * E2E_PAGE, word);
}

/* Turns: each waits until its page says who is next, so that sharing is shown to live on in both directions. */
static void take_turn(int mine, int next)
{
	volatile char *turn = area + 60 * E2E_PAGE;

	while (*turn != mine)
		e2e_sleep_ms(1);
	snprintf(area + mine * E2E_PAGE, E2E_PAGE, "after %d", mine);
	*turn = next;
}

static void grandchild(void *arg)
{
	char *part = mremap(area + 8 * E2E_PAGE, 0, 4 * E2E_PAGE, MREMAP_MAYMOVE);

	must(part != MAP_FAILED);
	strcpy(part, "grandchild at another address");
	e2e_child_ready();
	e2e_wait();
	must(!strcmp(part, "grandchild at another address"));
	take_turn(3, 1);
	strcpy(part + E2E_PAGE, "still shared");
	_exit(0);
}

static void child(void *arg)
{
	pid_t pid = e2e_fork(grandchild, NULL);

	strcpy(area + E2E_PAGE, "child");
	munmap(area + 32 * E2E_PAGE, 8 * E2E_PAGE);
	e2e_child_ready();
	e2e_wait();
	expect_word(0, "parent");
	take_turn(2, 3);
	e2e_join(pid);
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	area = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	alone = mmap(NULL, LEN, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(area != MAP_FAILED && alone != MAP_FAILED);
	strcpy(area, "parent");
	e2e_fill(area + 16 * E2E_PAGE, 16 * E2E_PAGE, 3);
	e2e_fill(area + 34 * E2E_PAGE, E2E_PAGE, 4);
	e2e_fill(alone + E2E_PAGE, 8 * E2E_PAGE, 5);
	pid_t pid = e2e_fork(child, NULL);
	munmap(alone + 32 * E2E_PAGE, 32 * E2E_PAGE);

	e2e_wait();

	expect_word(0, "parent");
	expect_word(1, "child");
	expect_word(8, "grandchild at another address");
	e2e_verify(area + 16 * E2E_PAGE, 16 * E2E_PAGE, 3, "shared by all");
	e2e_verify(area + 34 * E2E_PAGE, E2E_PAGE, 4, "unmapped by the child");
	e2e_verify(alone + E2E_PAGE, 8 * E2E_PAGE, 5, "with one task only");
	for (size_t i = 0; i < E2E_PAGE; i++)
		must(!alone[i] && !alone[20 * E2E_PAGE + i]);
	area[60 * E2E_PAGE] = 2;
	take_turn(1, 0);
	expect_word(2, "after 2");
	expect_word(3, "after 3");
	e2e_join(pid);
	expect_word(9, "still shared");
	return 0;
}
