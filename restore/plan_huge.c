/*
 * Huge pages (hugetlb): areas have to be aligned to them, and there have to be as many as the tree reserves. What
 * /sys/kernel/mm/hugepages/hugepages-KkB tells is looked at before any process exists, since a task that finds no
 * huge page dies of SIGBUS. Not counted: private mappings of files of huge pages.
 */
#include "plan.h"

#include <errno.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"

#define SHIFT_MIN 12
#define SHIFT_MAX 40

/* The size of the huge pages of those who do not say which: in bytes, 0 without huge pages. */
static uint64_t default_size(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	unsigned long kb = 0;
	char line[128];

	while (f && !kb && fgets(line, sizeof(line), f))
		sscanf(line, "Hugepagesize: %lu kB", &kb);
	return (uint64_t)kb << 10;
}

uint64_t plan_huge_size(uint32_t flags)
{
	unsigned int shift = flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK;

	return shift >= SHIFT_MIN && shift <= SHIFT_MAX ? 1ul << shift : shift ? 0 : default_size();
}

static unsigned long read_count(uint64_t size, const char *name)
{
	unsigned long n = 0;
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%lukB/%s", (long)(size >> 10), name);
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	return f && fscanf(f, "%lu", &n) == 1 ? n : 0;
}

/* Bytes that areas and segments with pages of the size reserve. */
static uint64_t count_need(const struct plan *plan, uint64_t size)
{
	uint64_t need = 0;

	for (size_t i = 0; i < plan->n_tasks; i++) {
		for (size_t a = 0; a < plan->tasks[i].n_areas; a++) {
			const VmaEntry *v = plan->tasks[i].areas[a].vma;

			if (v->flags & MAP_HUGETLB && v->status & VMA_ANON_PRIVATE && !(v->flags & MAP_NORESERVE) &&
			    plan_huge_size(v->flags) == size)
				need += v->end - v->start;
		}
	}
	for (const struct plan_segment *s = plan->segments; s; s = s->next)
		if (s->huge && plan_huge_size(s->huge) == size)
			need += s->size;
	return need;
}

void plan_check_huge_pages(struct plan *plan)
{
	for (unsigned int shift = SHIFT_MIN; plan->huge_pages && !plan->offline && shift <= SHIFT_MAX; shift++) {
		uint64_t size = 1ul << shift, need = plan->huge_pages >> shift & 1 ? count_need(plan, size) : 0;

		if (!need)
			continue;
		unsigned long there = read_count(size, "free_hugepages") - read_count(size, "resv_hugepages");
		unsigned long more =
			read_count(size, "nr_overcommit_hugepages") - read_count(size, "surplus_hugepages");
		if (need / size > there + more)
			plan_refuse(plan,
				    "the tree needs %lu huge pages of %lu kB, %lu are free: raise "
				    "/sys/kernel/mm/hugepages/hugepages-%lukB/nr_hugepages",
				    (long)(need / size), (long)(size >> 10), there + more, (long)(size >> 10));
	}
}

const char *plan_check_huge_area(struct plan *plan, const VmaEntry *v)
{
	uint64_t size = v->flags & MAP_HUGETLB ? plan_huge_size(v->flags) : 0;

	if (!(v->flags & MAP_HUGETLB))
		return v->flags & (uint32_t)MAP_HUGE_MASK << MAP_HUGE_SHIFT ? "unknown flags" : NULL;
	if (!size)
		return "huge pages of a size that makes no sense, or that this kernel does not have";
	if ((v->start | v->end | v->pgoff) & (size - 1))
		return "not aligned to its huge pages";
	plan->huge_pages |= size;
	return NULL;
}
