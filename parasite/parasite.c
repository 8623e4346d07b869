#include "runtime.h"
void blob_main(void *arg);
void blob_main(void *arg)
{
	sys(exit_group, 1);
}
