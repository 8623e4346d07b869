/*
 * Contexts of asynchronous I/O. Their rings are loaded like private memory; the blob then makes contexts of the same
 * size, lets them count to where they were, and moves them there (restorer_aio.h). /dev/null is what they read.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "aio_ring_abi.h"
#include "block.h"
#include "cleanup.h"
#include "log.h"
#include "plan.h"

#define REQUESTS_MAX (1u << 24) /* more than fs.aio-max-nr ever is */

static const AioRingEntry *find_ring(const struct plan_task *task, const VmaEntry *v)
{
	for (size_t i = 0; i < task->mm->n_aios; i++)
		if (task->mm->aios[i]->id == v->start && task->mm->aios[i]->ring_len == v->end - v->start)
			return task->mm->aios[i];
	return NULL;
}

static bool is_ring(const struct plan_area *area)
{
	return area->vma->status & VMA_AREA_AIORING;
}

static int aio_read(struct plan *plan, struct plan_task *task)
{
	size_t rings = 0;

	for (size_t i = 0; i < task->n_areas; i++) {
		const VmaEntry *v = task->areas[i].vma;

		if (!is_ring(&task->areas[i]))
			continue;
		const AioRingEntry *e = find_ring(task, v);
		rings++;
		if (!e || !e->nr_req || e->nr_req > REQUESTS_MAX)
			plan_refuse(plan, "mm-%d.img: the AIO ring at 0x%llx has no context that fits", task->pid,
				    (unsigned long long)v->start);
	}
	if (rings != task->mm->n_aios)
		plan_refuse(plan, "mm-%d.img: %zu AIO contexts, but %zu rings", task->pid, task->mm->n_aios, rings);
	return 0;
}

static int aio_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	struct restorer_args *args = block->args;
	size_t n = task->mm->n_aios;

	args->null_fd = -1;
	if (!n)
		return 0;
	struct restorer_ring *rings = block_alloc(block, n * sizeof(*rings));
	if (!rings)
		return -ENOMEM;
	for (size_t i = 0; i < task->n_areas; i++) {
		const VmaEntry *v = task->areas[i].vma;

		if (is_ring(&task->areas[i]))
			rings[args->n_rings++] =
				(struct restorer_ring){ v->start, v->end - v->start, find_ring(task, v)->nr_req };
	}
	args->rings = rings;
	/* All final descriptors are there: any other number will do until the blob closes it. */
	args->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return args->null_fd < 0 ? log_errno(errno, "can't open /dev/null") : 0;
}

const struct restore_part restore_part_aio = { .name = "asynchronous I/O", .read = aio_read, .fill = aio_fill };
