/* Memory of a task that is in the way of nothing: free in its address space of now and in that of the images. */
#ifndef CKPT_RESTORE_HOLE_H
#define CKPT_RESTORE_HOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct plan;
struct plan_task;

/* What shall be mapped: arguments of mmap(2). */
struct hole {
	size_t size; /* bytes, whole pages */
	int prot, flags, fd;
	uint64_t offset;
};

/* Maps it where nothing is and nothing will be. Returns the address, or -errno (logged). */
long hole_map(struct plan *plan, const struct plan_task *task, const struct hole *hole);
/* Whether neither areas of the task's images nor its vDSO will lie in the range. */
bool hole_stays_free(const struct plan *plan, const struct plan_task *task, uint64_t start, uint64_t len);

#endif
