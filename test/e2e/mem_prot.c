/* Areas of every protection, with content put in before: none, read, exec, and areas split by mprotect. */
#include "e2e.h"

static const int prots[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_EXEC, PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC,
			     PROT_WRITE };
#define N (sizeof(prots) / sizeof(prots[0]))

int main(int argc, char **argv)
{
	char *area[N], *split;

	e2e_begin(argc, argv);
	for (size_t i = 0; i < N; i++) {
		area[i] = mmap(NULL, 4 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		must(area[i] != MAP_FAILED);
		e2e_fill(area[i], 2 * E2E_PAGE, i);
		must(!mprotect(area[i], 4 * E2E_PAGE, prots[i]));
	}
	/* mov $42, %eax; ret */
	static const unsigned char code[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	char *function = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(function, code, sizeof(code));
	must(!mprotect(function, E2E_PAGE, PROT_READ | PROT_EXEC));
	split = mmap(NULL, 9 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	e2e_fill(split, 9 * E2E_PAGE, 77);
	must(!mprotect(split + 3 * E2E_PAGE, 3 * E2E_PAGE, PROT_NONE));

	e2e_wait();

	int (*call)(void) = (int (*)(void))(void *)function;
	same(call(), 42);
	/* The kernel refuses what the protection forbids: write() from the page says so without a signal. */
	int null = open("/dev/null", O_RDWR), p[2];
	must(null >= 0 && !pipe(p));
	must(write(p[1], area[0], 1) == -1 && errno == EFAULT);
	must(write(p[1], area[1], 1) == 1);
	must(read(p[0], area[1], 1) == -1 && errno == EFAULT);
	must(write(p[1], split + 3 * E2E_PAGE, 1) == -1 && errno == EFAULT);
	for (size_t i = 0; i < N; i++) {
		must(!mprotect(area[i], 4 * E2E_PAGE, PROT_READ | PROT_WRITE));
		e2e_verify(area[i], 2 * E2E_PAGE, i, "area");
		must(area[i][3 * E2E_PAGE] == 0);
	}
	must(!mprotect(split + 3 * E2E_PAGE, 3 * E2E_PAGE, PROT_READ));
	e2e_verify(split, 9 * E2E_PAGE, 77, "split area");
	return 0;
}
