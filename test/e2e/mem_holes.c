/* A reservation of 1 TiB with a few pages in it: costs neither time nor space for its holes. */
#include "e2e.h"

#define TIB (1ul << 40)

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	char *area = mmap(NULL, TIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		skip("no 1 TiB of address space: %s", strerror(errno));
	char *none = mmap(NULL, TIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (none == MAP_FAILED)
		skip("no second TiB of address space: %s", strerror(errno));
	for (unsigned long i = 0; i < 16; i++)
		e2e_fill(area + i * (TIB / 16) + i * 3 * E2E_PAGE, E2E_PAGE, i);

	e2e_wait();

	for (unsigned long i = 0; i < 16; i++) {
		char *page = area + i * (TIB / 16) + i * 3 * E2E_PAGE;

		e2e_verify(page, E2E_PAGE, i, "page in the reservation");
		must(page[E2E_PAGE] == 0);
	}
	struct stat st;
	must(!stat(e2e_path("ready"), &st));
	return 0;
}
