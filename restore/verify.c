/* ckpt verify: the plan of a restore that never comes. */
#include "plan.h"
#include "restore.h"

int restore_verify(const struct opts *opts)
{
	_cleanup_plan_ struct plan plan;

	return plan_open(&plan, opts);
}
