#include "cmd.h"

int cmd_explain(const struct opts *opts)
{
	return 1;
}
