/*
 * What a task tells its blob about memory: areas and what they are mapped from, which pages are read into
 * them and how, addresses of PR_SET_MM_MAP.
 */
#include "task.h"

#include <asm/prctl.h>
#include <errno.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "block.h"
#include "cleanup.h"
#include "cow.h"
#include "kernel_abi.h"
#include "log.h"
#include "page_files.h"
#include "plan.h"
#include "sysv_shm.h"

/* Pages in a row that are worth a call of their own (UFFDIO_COPY), in bytes. */
#define SPACE_END ((1ul << 47) - IMAGE_PAGE_SIZE)
#define COPY_MIN (16ul << 10)
#define COPY_WORTH_IT (512ul << 10) /* bytes of these of a task: for less it needs no userfaultfd */

static int area_fd(const struct plan_area *area)
{
	return area->segment ? area->segment->fd : area->file ? area->file->map[area->writes].fd : -1;
}

static void fill_area(const struct plan_area *area, struct restorer_area *to)
{
	const VmaEntry *v = area->vma;

	*to = (struct restorer_area){
		.start = v->start,
		.end = v->end,
		.pgoff = v->pgoff,
		.prot = v->prot,
		.map_prot = v->prot | (area->has_pages ? PROT_WRITE : 0),
		.flags = v->flags &
			 (MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE | MAP_STACK |
			  MAP_DROPPABLE | MAP_HUGETLB | (uint32_t)MAP_HUGE_MASK << MAP_HUGE_SHIFT),
		.madv = v->has_madv ? v->madv : 0,
		.lock = !(v->flags & MAP_LOCKED)		   ? 0
			: v->has_lock_on_fault && v->lock_on_fault ? LOCK_ON_FAULT
								   : LOCK,
	};
	if (v->status & VMA_AREA_AIORING) { /* loaded first, made what it is then */
		to->flags = MAP_PRIVATE;
		to->map_prot = PROT_READ | PROT_WRITE;
	}
	if (area->segment && area->segment->sysv) {
		to->attached = 1;
		to->map_prot = ~0u; /* that of the attachment: to be set in any case */
	}
	if (area->segment)
		to->flags &= ~MAP_ANONYMOUS;
	else if (!area->file)
		to->flags |= MAP_ANONYMOUS;
	/* Huge pages would be looked for at the offset, behind the end of what the kernel makes for them. */
	if (to->flags & MAP_ANONYMOUS)
		to->pgoff = 0;
	to->fd = area_fd(area);
	to->alone = area->file && area->file->entry->type == FD_TYPES__IO_URING;
	if (area->at) {
		to->from = area->at + (v->start - area->low);
		to->map_prot = PROT_READ | PROT_WRITE;
	}
}

/* All but the block and what is loaded already. */
static int fill_unmaps(const struct plan_task *task, struct block *block)
{
	struct restorer_args *args = block->args;
	struct restorer_range *kept = block_alloc(block, task->n_areas * sizeof(*kept));
	struct restorer_range *unmaps = block_alloc(block, (task->n_areas + 2) * sizeof(*unmaps));
	size_t n = kept && unmaps ? cow_kept(task, kept) : 0;
	uint64_t pos = 0;
	bool passed = false; /* the block */

	if (!kept || !unmaps)
		return -ENOMEM;
	for (size_t i = 0; i <= n;) {
		struct restorer_range next = { SPACE_END, 0 };

		if (!passed && (i == n || args->block_start < kept[i].start)) {
			next = (struct restorer_range){ args->block_start, args->block_end - args->block_start };
			passed = true;
		} else if (i < n) {
			next = kept[i++];
		} else {
			i++;
		}
		if (pos < next.start)
			unmaps[args->n_unmaps++] = (struct restorer_range){ pos, next.start - pos };
		pos = next.start + next.len;
	}
	args->unmaps = unmaps;
	return 0;
}

static int fill_areas(const struct plan_task *task, struct block *block)
{
	struct restorer_area *areas = block_alloc(block, task->n_areas * sizeof(*areas));
	struct restorer_range *guards = block_alloc(block, task->n_guards * sizeof(*guards));

	if (!areas || !guards)
		return -ENOMEM;
	for (size_t i = 0; i < task->n_areas; i++)
		fill_area(&task->areas[i], &areas[i]);
	for (size_t i = 0; i < task->n_areas; i++)
		block->args->any_alone |= areas[i].alone;
	memcpy(guards, task->guards, task->n_guards * sizeof(*guards));
	block->args->areas = areas;
	block->args->n_areas = task->n_areas;
	block->args->guards = guards;
	block->args->n_guards = task->n_guards;
	return 0;
}

static int fill_vdso(const struct plan_task *task, struct block *block)
{
	const struct plan_vdso *vdso = &task->vdso;
	struct restorer_args *args = block->args;

	args->vdso_hint = vdso->hint;
	args->vdso_command = task->compat ? ARCH_MAP_VDSO_32 : ARCH_MAP_VDSO_64;
	args->n_vdso_moves = vdso->n_moves;
	memcpy(args->vdso_moves, vdso->moves, sizeof(args->vdso_moves));
	if (!vdso->kept)
		return 0;
	void *copy = block_alloc(block, vdso->size);
	if (!copy)
		return -ENOMEM;
	args->old_vdso = memcpy(copy, vdso->bytes, vdso->size);
	args->old_vdso_at = vdso->code->start;
	args->old_vdso_size = vdso->size;
	return 0;
}

/* Whether the kernel gives huge pages to those who do not ask: then a plain read gets them, and is faster. */
static bool huge_pages_always(void)
{
	_cleanup_fclose_ FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char line[64];

	return f && fgets(line, sizeof(line), f) && strstr(line, "[always]");
}

/* Whether pages may be copied into the area by userfaultfd, which fills anonymous memory with small pages. */
static bool can_copy(const struct restorer_area *a)
{
	return a->flags & MAP_PRIVATE && a->flags & MAP_ANONYMOUS && !(a->flags & MAP_HUGETLB) &&
	       !(a->madv >> MADV_HUGEPAGE & 1);
}

struct read_list {
	struct restorer_read *reads;
	struct restorer_pages *pages;
	struct restorer_lazy *lazy; /* NULL: all is loaded at once */
	size_t n_reads, n_pages, n_lazy;
	uint64_t copied; /* bytes */
	const struct plan_area *areas; /* of the task: as many as the blob has */
	struct restorer_area *first;
	uint64_t next; /* offset in its page image behind the last read */
	struct restorer_area *area; /* those below it end before what is added */
	enum { UNKNOWN, NO, YES } may_copy; /* looked up when there is something to copy */
};

/* Adds pages at an offset of the page image to the last read, or to a new one when they do not follow it. */
static void add_read(struct read_list *list, uint32_t file, uint64_t offset, const struct restorer_pages *pages,
		     bool copy)
{
	struct restorer_read *r = list->n_reads ? &list->reads[list->n_reads - 1] : NULL;

	if (!r || r->file != file || list->next != offset || r->copy != copy) {
		r = &list->reads[list->n_reads++];
		*r = (struct restorer_read){
			.offset = offset, .pages = &list->pages[list->n_pages], .copy = copy, .file = file
		};
	}
	list->pages[list->n_pages++] = *pages;
	r->count++;
	list->next = offset + pages->len;
}

/*
 * Whether pages come late. Those that were shared before the fork are there. Where nobody may write, the kernel counts
 * memory as used (VM_ACCOUNT) only if there are pages at once.
 */
static bool comes_late(const struct read_list *list, const struct restorer_read *r)
{
	return list->lazy && r->lazy && (r->away || list->area->prot & PROT_WRITE) && !list->area->from &&
	       plan_can_come_late(&list->areas[list->area - list->first]);
}

/* Adds one run of pages, cut where areas begin that are filled in another way, or were before. */
static void add_run(struct read_list *list, const struct restorer_read *r, uint64_t offset,
		    const struct restorer_pages *run)
{
	uint64_t addr = run->addr, end = run->addr + run->len;

	while (addr < end) {
		while (list->area->end <= addr)
			list->area++;
		struct restorer_area *area = list->area;
		uint64_t stop = area->end < end ? area->end : end;
		bool copy = can_copy(area) && stop - addr >= COPY_MIN;

		if (comes_late(list, r)) {
			list->lazy[list->n_lazy++] =
				(struct restorer_lazy){ addr, stop - addr, offset, r->file, r->away };
			area->lazy = true;
		} else if (!area->from) {
			if (copy && !list->may_copy)
				list->may_copy = huge_pages_always() ? NO : YES;
			copy &= list->may_copy == YES;
			area->copy |= copy;
			list->copied += copy ? stop - addr : 0;
			add_read(list, r->file, offset, &(struct restorer_pages){ addr, stop - addr }, copy);
		}
		offset += stop - addr;
		addr = stop;
	}
}

size_t task_count_reads(const struct plan_task *task)
{
	size_t n = task->n_areas;

	for (size_t i = 0; i < task->pages.n_reads; i++)
		n += task->pages.reads[i].count;
	return n;
}

/* Tells which pages are read, in which way. *copy: some are copied. */
static int list_reads(const struct plan *plan, const struct plan_task *task, struct block *block,
		      struct restorer_slot *slot, bool *copy)
{
	const struct plan_pages *pages = &task->pages;
	size_t n = task_count_reads(task);
	struct read_list list = {
		.reads = block_alloc(block, n * sizeof(*list.reads)),
		.pages = block_alloc(block, n * sizeof(*list.pages)),
		.areas = task->areas,
		.first = (struct restorer_area *)block->args->areas,
		.area = (struct restorer_area *)block->args->areas,
	};

	if (plan->lazy_sock >= 0)
		list.lazy = block_alloc(block, n * sizeof(*list.lazy));
	if (!list.reads || !list.pages || (plan->lazy_sock >= 0 && !list.lazy))
		return -ENOMEM;
	for (size_t i = 0; i < pages->n_reads; i++) {
		const struct restorer_read *r = &pages->reads[i];
		uint64_t offset = r->offset;

		for (uint64_t p = 0; p < r->count; p++) {
			add_run(&list, r, offset, &r->pages[p]);
			offset += r->pages[p].len;
		}
	}
	block->args->reads = list.reads;
	block->args->n_reads = list.n_reads;
	slot->lazy = (uint64_t)list.lazy;
	slot->n_lazy = list.n_lazy;
	*copy = list.copied >= COPY_WORTH_IT;
	for (size_t i = 0; i < list.n_reads && !*copy; i++)
		list.reads[i].copy = 0;
	return 0;
}

/* Opens the page images that the blob reads. All final descriptors are there: any other number will do. */
static int open_files(const struct plan *plan, const struct plan_task *task, struct block *block)
{
	int32_t *fds = block_alloc(block, task->pages.n_files * sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	memset(fds, 0xff, task->pages.n_files * sizeof(*fds));
	for (size_t i = 0; i < block->args->n_reads; i++) {
		uint32_t file = block->args->reads[i].file;

		if (fds[file] < 0)
			fds[file] = page_file_open(plan, &task->pages.files[file]);
		if (fds[file] < 0)
			return fds[file];
	}
	block->args->page_fds = fds;
	block->args->n_page_fds = task->pages.n_files;
	return 0;
}

static int fill_reads(struct plan *plan, struct plan_task *task, struct block *block)
{
	bool copy = false;

	struct restorer_slot *slot = &plan->shared->slots[task->index];

	/* In the block it will be elsewhere. */
	block->args->lazy = plan->lazy_sock >= 0;
	block->args->slot = &block->args->shared->slots[task->index];
	int err = task->pages.n_reads ? list_reads(plan, task, block, slot, &copy) : 0;
	if (err || !block->args->n_reads)
		return err;
	block->args->copy_buffer = copy ? block_alloc(block, RESTORER_COPY) : NULL;
	if (copy && !block->args->copy_buffer)
		return -ENOMEM;
	return open_files(plan, task, block);
}

static int fill_mm(const struct plan_task *task, struct block *block)
{
	const MmEntry *mm = task->mm;
	struct prctl_mm_map *map = block_alloc(block, sizeof(*map));
	uint64_t *auxv = block_alloc(block, (mm->n_mm_saved_auxv + 1) * sizeof(*auxv));

	if (!map || !auxv)
		return -ENOMEM;
	memcpy(auxv, mm->mm_saved_auxv, mm->n_mm_saved_auxv * sizeof(*auxv));
	*map = (struct prctl_mm_map){
		.start_code = mm->mm_start_code,
		.end_code = mm->mm_end_code,
		.start_data = mm->mm_start_data,
		.end_data = mm->mm_end_data,
		.start_brk = mm->mm_start_brk,
		.brk = mm->mm_brk,
		.start_stack = mm->mm_start_stack,
		.arg_start = mm->mm_arg_start,
		.arg_end = mm->mm_arg_end,
		.env_start = mm->mm_env_start,
		.env_end = mm->mm_env_end,
		.auxv = (__u64 *)auxv,
		.auxv_size = mm->n_mm_saved_auxv * sizeof(*auxv),
		.exe_fd = task->exe->map[0].fd,
	};
	block->args->mm_map = map;
	block->args->mm_map_size = sizeof(*map);
	return 0;
}

int task_fill_memory(struct plan *plan, struct plan_task *task, struct block *block)
{
	int err = fill_areas(task, block);

	if (!err)
		err = sysv_fill(task, block);
	if (!err)
		err = fill_unmaps(task, block);
	if (!err)
		err = fill_vdso(task, block);
	if (!err)
		err = fill_reads(plan, task, block);
	return err ? err : fill_mm(task, block);
}
