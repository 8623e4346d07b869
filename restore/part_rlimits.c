/* Resource limits. Without CAP_SYS_RESOURCE nobody can raise a hard limit: the plan tells, not the last step. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "block.h"
#include "log.h"
#include "plan.h"
#include "privileges.h"

static const char *const names[RLIM_NLIMITS] = {
	"RLIMIT_CPU",	   "RLIMIT_FSIZE",  "RLIMIT_DATA",    "RLIMIT_STACK",  "RLIMIT_CORE",  "RLIMIT_RSS",
	"RLIMIT_NPROC",	   "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS",     "RLIMIT_LOCKS", "RLIMIT_SIGPENDING",
	"RLIMIT_MSGQUEUE", "RLIMIT_NICE",   "RLIMIT_RTPRIO",  "RLIMIT_RTTIME",
};

static int rlimits_read(struct plan *plan, struct plan_task *task)
{
	const TaskRlimitsEntry *e = task->core->rlimits;
	const struct privileges *mine = privileges_get(plan);

	if (!mine)
		return -ENOMEM;
	if (!e)
		return 0;
	if (e->n_rlimits > RLIM_NLIMITS) {
		plan_refuse_here(plan, "core-%d.img: %zu resource limits, this kernel knows %d", task->pid,
				 e->n_rlimits, RLIM_NLIMITS);
		return 0;
	}
	for (size_t i = 0; i < e->n_rlimits; i++) {
		if (e->rlimits[i]->cur > e->rlimits[i]->max)
			plan_refuse(plan, "core-%d.img: %s: the soft limit is above the hard limit", task->pid,
				    names[i]);
		else if (e->rlimits[i]->max > mine->limits[i].rlim_max && !privileges_has(mine, CAP_SYS_RESOURCE))
			plan_refuse_here(
				plan,
				"task %d had %s %llu, but here the hard limit is %llu and only CAP_SYS_RESOURCE can "
				"raise it: raise it before ckpt restore",
				task->pid, names[i], (unsigned long long)e->rlimits[i]->max,
				(unsigned long long)mine->limits[i].rlim_max);
	}
	return 0;
}

static int rlimits_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	const TaskRlimitsEntry *e = task->core->rlimits;
	size_t n = e ? e->n_rlimits : 0;
	struct restorer_rlimit *limits = block_alloc(block, (n + 1) * sizeof(*limits));

	if (!limits)
		return -ENOMEM;
	block->args->rlimits = limits;
	for (size_t i = 0; i < n; i++) {
		const RlimitEntry *limit = e->rlimits[i];
		const struct rlimit *mine = &plan->inherited.limits[i];

		if (limit->cur != mine->rlim_cur || limit->max != mine->rlim_max)
			limits[block->args->n_rlimits++] = (struct restorer_rlimit){ i, { limit->cur, limit->max } };
	}
	return 0;
}

const struct restore_part restore_part_rlimits = { .name = "limits", .read = rlimits_read, .fill = rlimits_fill };
