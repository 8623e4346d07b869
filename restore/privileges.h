/* What this process may do, and so what the restored tasks can be given. */
#ifndef CKPT_RESTORE_PRIVILEGES_H
#define CKPT_RESTORE_PRIVILEGES_H

#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct plan;

struct privileges {
	uint32_t inheritable[2], permitted[2], effective[2], bounding[2], ambient[2];
	uint32_t last_cap;
	uint32_t securebits;
	bool no_new_privs;
	uid_t uid[4]; /* real, effective, saved, file system */
	gid_t gid[4];
	struct rlimit limits[RLIM_NLIMITS];
	size_t n_groups;
	gid_t *groups;
};

/* Read once from /proc/self/status. Owned by the plan. NULL on failure (logged). */
const struct privileges *privileges_get(struct plan *plan);
bool privileges_has(const struct privileges *p, int cap);

#endif
