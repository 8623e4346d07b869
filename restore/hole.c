/*
 * Finds room in a task while its old address space still stands: the first hole that is large enough in both the
 * old and the new one.
 */
#include "hole.h"

#include <errno.h>
#include <sys/mman.h>

#include "log.h"
#include "plan.h"
#include "vdso.h"

#define LOWEST 0x100000ul

/* The start of a hole of size bytes in what is mapped and what will be, 0 when there is none. */
static uint64_t find_hole(const struct plan *plan, const struct plan_task *task, size_t size)
{
	const struct inherited *in = &plan->inherited;
	uint64_t at = LOWEST, vdso_end;

	for (size_t area = 0, map = 0; at < task->space_end - size;) {
		while (area < task->n_areas && task->areas[area].vma->end <= at)
			area++;
		while (map < in->n_maps && in->maps[map].start + in->maps[map].len <= at)
			map++;
		if (area < task->n_areas && task->areas[area].vma->start < at + size)
			at = task->areas[area].vma->end;
		else if (map < in->n_maps && in->maps[map].start < at + size)
			at = in->maps[map].start + in->maps[map].len;
		else if (vdso_occupies(&task->vdso, at, size, &vdso_end))
			at = vdso_end;
		else
			return at;
	}
	return 0;
}

bool hole_stays_free(const struct plan *plan, const struct plan_task *task, uint64_t start, uint64_t len)
{
	size_t low = 0, high = task->n_areas;
	uint64_t vdso_end;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (task->areas[middle].vma->end <= start)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < task->n_areas && task->areas[low].vma->start < start + len)
		return false;
	return !vdso_occupies(&task->vdso, start, len, &vdso_end);
}

long hole_map(struct plan *plan, const struct plan_task *task, const struct hole *hole)
{
	for (int try = 0; try < 2; try++) {
		/* More is mapped than in the coordinator, which is rare. */
		int err = try ? inherited_read_maps(plan) : 0;
		uint64_t at = err ? 0 : find_hole(plan, task, hole->size);

		if (err)
			return err;
		if (!at)
			return log_errno(ENOMEM, "no hole of %zu bytes in both address spaces of task %d", hole->size,
					 task->pid);
		void *got = mmap((void *)at, hole->size, hole->prot, hole->flags | MAP_FIXED_NOREPLACE, hole->fd,
				 hole->offset);
		if (got == (void *)at)
			return at;
		if (got == MAP_FAILED && errno != EEXIST)
			return log_errno(errno, "can't map %zu bytes at 0x%lx", hole->size, at);
		if (got != MAP_FAILED)
			munmap(got, hole->size);
	}
	return log_errno(EEXIST, "no hole of %zu bytes in task %d: its memory changed meanwhile", hole->size,
			 task->pid);
}
