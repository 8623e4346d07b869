/*
 * Which memory parent and child have shared since fork (copy on write). Images do not say it: each task has all
 * its pages. Areas that both have at the same addresses, of the same kind and with pages, are loaded by whoever
 * forks before it forks; the child keeps the pages that are equal in its own image (cow.c).
 */
#include <sys/mman.h>

#include "plan.h"

#define SAME_FLAGS (MAP_TYPE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE)
#define SAME_ADVICE (1ul << MADV_HUGEPAGE | 1ul << MADV_NOHUGEPAGE)

struct plan_task *plan_forker(const struct plan_task *task)
{
	return task->born_by ? task->born_by : task->parent;
}

bool plan_may_share(const struct plan_area *a, const struct plan_area *b)
{
	const VmaEntry *v = a->vma, *w = b->vma;
	uint64_t madv = v->has_madv ? v->madv : 0, other = w->has_madv ? w->madv : 0;

	if (a->away || b->away)
		return false;
	if (!a->has_pages || !b->has_pages || (v->flags & MAP_TYPE) != MAP_PRIVATE || a->segment || b->segment)
		return false;
	if ((v->flags ^ w->flags) & SAME_FLAGS || (madv ^ other) & SAME_ADVICE || v->flags & MAP_HUGETLB)
		return false;
	return a->file == b->file &&
	       (!a->file || (a->writes == b->writes && v->pgoff - v->start == w->pgoff - w->start));
}

/* A stack may have grown in the child only: then the forker maps more of it for a moment. */
static void grow_down(struct plan_area *p, const struct plan_area *c, uint64_t free_from)
{
	if (p->vma->flags & MAP_GROWSDOWN && c->low < p->low && free_from <= c->low)
		p->low = c->low;
}

static void share_with_forker(struct plan_task *forker, struct plan_task *task)
{
	size_t next = 0;

	for (size_t i = 0; i < task->n_areas; i++) {
		struct plan_area *c = &task->areas[i];

		while (next < forker->n_areas && forker->areas[next].vma->end <= c->low)
			next++;
		for (size_t j = next; j < forker->n_areas && forker->areas[j].low < c->vma->end; j++) {
			struct plan_area *p = &forker->areas[j];

			if (!plan_may_share(p, c))
				continue;
			grow_down(p, c, j ? forker->areas[j - 1].vma->end : 0);
			p->forked = true;
		}
	}
}

void plan_share_memory(struct plan *plan)
{
	/* Children before parents: stacks grow with those of all descendants. */
	for (size_t i = plan->n_tasks; i-- > 1;) {
		struct plan_task *task = &plan->tasks[i], *forker = plan_forker(task);

		if (plan_lives(task) && plan_lives(forker))
			share_with_forker(forker, task);
	}
}
