/* A lot of memory, verified by checksum: 1 GiB with FULL=1, else 192 MiB. */
#include "e2e.h"

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	size_t len = e2e_full() ? 1ul << 30 : 192ul << 20;
	char *area = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(area != MAP_FAILED);
	e2e_fill(area, len, 12345);

	e2e_wait();

	e2e_verify(area, len, 12345, "the area");
	return 0;
}
