/* As many areas as a process may have, or 20,000: neighbours differ, so that they stay apart. */
#include "e2e.h"

#define AREAS 20000

int main(int argc, char **argv)
{
	long most = 65530, n = AREAS;
	FILE *f = fopen("/proc/sys/vm/max_map_count", "r");

	e2e_begin(argc, argv);
	if (f && fscanf(f, "%ld", &most) == 1 && most - 500 < n)
		n = most - 500;
	if (e2e_full() && most > 101000)
		n = 100000;
	char *at = mmap(NULL, n * E2E_PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(at != MAP_FAILED);
	for (long i = 0; i < n; i += 2) {
		must(!mprotect(at + i * E2E_PAGE, E2E_PAGE, PROT_READ | PROT_WRITE));
		if (i % 4)
			memcpy(at + i * E2E_PAGE, &i, sizeof(i));
	}

	e2e_wait();

	for (long i = 0; i < n; i++) {
		long found;

		memcpy(&found, at + i * E2E_PAGE, sizeof(found));
		same(found, i % 4 == 2 ? i : 0);
	}
	return 0;
}
