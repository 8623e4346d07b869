/* What every task of the tree gets from the coordinator by fork, so that only what differs must be set. */
#ifndef CKPT_RESTORE_INHERITED_H
#define CKPT_RESTORE_INHERITED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "restorer_abi.h"

struct plan;

#define SIGNALS 64

struct inherited {
	long oom_score_adj;
	uint32_t loginuid;
	int nice;
	int policy;
	struct rlimit limits[RLIM_NLIMITS];
	struct restorer_action actions[SIGNALS]; /* of signal 1 and so on */
	size_t n_maps;
	struct restorer_range *maps; /* ascending */
};

/* Reads all of it, when nothing of it will change any more. Returns 0 or -errno (logged). */
int inherited_read(struct plan *plan);
/* In a task: reads anew what is mapped. Returns 0 or -errno (logged). */
int inherited_read_maps(struct plan *plan);

#endif
