/* Rarer attributes: not dumpable (its /proc belongs to root then), no transparent huge pages. */
#include "e2e.h"

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	must(!prctl(PR_SET_DUMPABLE, 0));
	must(!prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));

	e2e_wait();

	same(prctl(PR_GET_DUMPABLE), 0);
	same(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	return 0;
}
