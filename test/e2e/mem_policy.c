/* What holds for all memory of a process: no transparent huge pages, or only where asked for; merging of equal pages.
 */
#include "e2e.h"

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif
#define EXCEPT_ADVISED 2 /* PR_THP_DISABLE_EXCEPT_ADVISED, 6.18 */

static void except_advised(void *arg)
{
	if (prctl(PR_SET_THP_DISABLE, 1, EXCEPT_ADVISED, 0, 0))
		_exit(77);
	e2e_child_ready();
	e2e_wait();
	same(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1 | EXCEPT_ADVISED);
	_exit(0);
}

static void merged(void *arg)
{
	if (prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0))
		_exit(77);
	char *not = mmap(NULL, 8 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(not != MAP_FAILED && !madvise(not, 8 * E2E_PAGE, MADV_UNMERGEABLE));
	e2e_child_ready();
	e2e_wait();
	same(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0), 1);
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	pid_t advised = e2e_fork(except_advised, NULL), merging = e2e_fork(merged, NULL);
	must(!prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));

	e2e_wait();

	same(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	same(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) > 0, 0);
	e2e_join(advised);
	e2e_join(merging);
	return 0;
}
