/*
 * The CPU of the dump (cpuinfo.img) against this one, as far as --cpu-cap asks. Which extended registers the threads
 * use in fact is seen when these are read (part_regs.c).
 */
#include <errno.h>

#include "cpuinfo.h"
#include "opts.h"
#include "plan.h"

static void refuse(void *plan, const char *what)
{
	plan_refuse((struct plan *)plan,
		    "cpuinfo.img: %s. Programs may rely on it: restore on a CPU like that of the dump, or try "
		    "--cpu-cap=none",
		    what);
}

int plan_check_cpu(struct plan *plan)
{
	unsigned int caps = plan->opts->cpu_caps;
	const CpuinfoEntry *image = NULL;
	struct cpuinfo own;

	if (!caps || plan->offline)
		return 0;
	int err = plan_read_one(plan, IMG_CPUINFO, 0, &image);
	if (err == -ENOENT && !plan->opts->cpu_cap_given)
		return 0;
	if (err == -ENOENT) {
		plan_refuse_here(plan, "there is no cpuinfo.img for --cpu-cap: restore without it");
		return 0;
	}
	if (err)
		return err;
	cpuinfo_own(&own, false);
	cpuinfo_compare(image, &own.x86, caps, refuse, plan);
	return 0;
}
