/* A limit on the size of files that is far below the memory of the task: its images are larger. */
#include "e2e.h"

#include <sys/resource.h>

#define SIZE (4ul << 20)

int main(int argc, char **argv)
{
	struct rlimit limit = { 65536, 65536 }, now;

	e2e_begin(argc, argv);
	unsigned char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(p != MAP_FAILED);
	for (size_t i = 0; i < SIZE; i++)
		p[i] = i * 11;
	must(!setrlimit(RLIMIT_FSIZE, &limit));

	e2e_wait();

	for (size_t i = 0; i < SIZE; i++)
		same(p[i], (unsigned char)(i * 11));
	must(!getrlimit(RLIMIT_FSIZE, &now));
	same(now.rlim_cur, limit.rlim_cur);
	same(now.rlim_max, limit.rlim_max);
	return 0;
}
