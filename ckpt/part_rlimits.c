/* Resource limits: prlimit(2), or /proc/PID/limits: of a task of another user the former needs CAP_SYS_RESOURCE. */
#include <errno.h>
#include <sys/resource.h>

#include "dump.h"

static int read_limits(struct dump_task *t)
{
	struct rlimit limit;

	for (int i = 0; i < PROC_LIMITS; i++) {
		if (prlimit(t->member, i, NULL, &limit))
			return proc_limits(t->proc, t->limits);
		t->limits[i] = (struct proc_limit){ limit.rlim_cur, limit.rlim_max };
	}
	return 0;
}

static int fill(const struct dump_task *t, CoreEntry *core, struct arena *arena)
{
	TaskRlimitsEntry *e = arena_get(arena, sizeof(*e));
	RlimitEntry *limits = arena_get(arena, PROC_LIMITS * sizeof(*limits));
	RlimitEntry **list = arena_get(arena, PROC_LIMITS * sizeof(*list));

	if (!e || !limits || !list)
		return -ENOMEM;
	task_rlimits_entry__init(e);
	for (int i = 0; i < PROC_LIMITS; i++) {
		rlimit_entry__init(&limits[i]);
		limits[i].cur = t->limits[i].soft;
		limits[i].max = t->limits[i].hard;
		list[i] = &limits[i];
	}
	e->n_rlimits = PROC_LIMITS;
	e->rlimits = list;
	core->tc->rlimits = e;
	return 0;
}

const struct dump_part dump_part_rlimits = {
	.name = "rlimits",
	.read = read_limits,
	.fill = fill,
};
