/* What every task of the tree gets from the coordinator by fork, so that only what differs must be set. */
#ifndef CKPT_RESTORE_INHERITED_H
#define CKPT_RESTORE_INHERITED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "restorer_abi.h"

struct plan;

#define SIGNALS 64
#define MASK_BYTES 1024 /* for 8192 CPUs, the most that the kernel can be built for */

/* On which CPUs we may run. */
struct own_cpus {
	bool any;
	size_t len; /* bytes, up to the last set bit; when any, all are set: also those of CPUs that may come later */
	uint8_t mask[MASK_BYTES];
};

struct inherited {
	long oom_score_adj;
	uint32_t loginuid;
	uint32_t coredump_filter;
	int nice;
	int policy;
	struct own_cpus cpus;
	uint32_t io_priority;
	uint64_t timer_slack; /* ns */
	struct rlimit limits[RLIM_NLIMITS];
	struct restorer_action actions[SIGNALS]; /* of signal 1 and so on */
	size_t n_maps;
	struct restorer_range *maps; /* ascending */
};

/* Reads all of it, when nothing of it will change any more. Returns 0 or -errno (logged). */
int inherited_read(struct plan *plan);
void own_cpus_read(struct own_cpus *own);
/* In a task: reads anew what is mapped. Returns 0 or -errno (logged). */
int inherited_read_maps(struct plan *plan);

#endif
