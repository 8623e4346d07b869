/*
 * The address space of a task (mm-PID.img, pagemap-PID.img): its areas, what is mapped there, which pages are
 * read into them. Areas must not overlap and pages must lie in private areas.
 */
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "compat.h"
#include "kernel_abi.h"
#include "log.h"
#include "opts.h"
#include "sysv_shm.h"

#define SPACE_END ((1ul << 47) - IMAGE_PAGE_SIZE)
#define AUXV_MAX 52 /* words that the kernel keeps: AT_VECTOR_SIZE */
#define MAP_KNOWN                                                                                                      \
	(MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE | MAP_LOCKED | MAP_STACK |           \
	 MAP_DENYWRITE | MAP_DROPPABLE | MAP_HUGETLB | (unsigned int)MAP_HUGE_MASK << MAP_HUGE_SHIFT)
#define KINDS (VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_ANON_SHARED | VMA_ANON_PRIVATE)

static const struct {
	uint32_t status;
	const char *what;
} unsupported[] = {
	{ VMA_AREA_SOCKET, "a mapped packet socket" },
	{ VMA_AREA_SHSTK, "a shadow stack" },
	{ VMA_AREA_UPROBES, "uprobes" },
};

static void refuse_area(struct plan *plan, const struct plan_task *task, const VmaEntry *v, const char *what)
{
	plan_refuse(plan, "memory 0x%llx-0x%llx of task %d: %s", (unsigned long long)v->start,
		    (unsigned long long)v->end, task->pid, what);
}

/* A segment of shared anonymous memory, that CRIU writes as a memfd on recent kernels and for huge pages. */
static struct plan_segment *shared_anonymous(const struct plan_file *file)
{
	struct plan_segment *s = file->entry->type == FD_TYPES__MEMFD ? file->data : NULL;

	return s && !s->memfd ? s : NULL;
}

static int compare_segments(const void *a, const void *b)
{
	uint64_t x = ((const struct plan_segment *)a)->id, y = ((const struct plan_segment *)b)->id;

	return x < y ? -1 : x > y;
}

struct plan_segment *plan_segment(struct plan *plan, uint64_t id)
{
	const struct plan_segment key = { .id = id };
	struct plan_segment **found = tfind(&key, &plan->segment_tree, compare_segments);

	if (found)
		return *found;
	struct plan_segment *s = plan_alloc(plan, sizeof(*s));
	if (!s)
		return NULL;
	s->id = id;
	if (!tsearch(s, &plan->segment_tree, compare_segments))
		return NULL;
	*s = (struct plan_segment){ .id = id, .fd = -1, .next = plan->segments };
	plan->segments = s;
	plan->n_segments++;
	return s;
}

static int add_segment(struct plan *plan, struct plan_task *task, struct plan_area *area, uint64_t id)
{
	uint64_t need = area->vma->pgoff + (area->vma->end - area->vma->start);

	if (area->vma->pgoff >= SPACE_END) {
		refuse_area(plan, task, area->vma, "its offset is out of range");
		return 0;
	}
	struct plan_segment *s = plan_segment(plan, id);
	if (!s)
		return -ENOMEM;
	s->size = s->sized || s->size > need ? s->size : need;
	s->owner = plan_common_ancestor(s->owner, task);
	area->segment = s;
	return 0;
}

/* A file that the task maps or executes is opened once for all who do. */
void plan_need_mapping(struct plan_file *file, struct plan_task *task, bool writes)
{
	file->map[writes].owner = plan_common_ancestor(file->map[writes].owner, task);
}

static bool needs_write(const VmaEntry *v)
{
	int flags = v->has_fdflags ? v->fdflags : v->flags & MAP_SHARED && v->prot & PROT_WRITE ? O_RDWR : O_RDONLY;

	return (flags & O_ACCMODE) == O_RDWR;
}

static int find_object(struct plan *plan, struct plan_task *task, struct plan_area *area)
{
	const VmaEntry *v = area->vma;

	if (v->status & VMA_ANON_PRIVATE)
		return 0;
	if (v->status & VMA_AREA_SYSVIPC) {
		area->writes = needs_write(v);
		return sysv_find(plan, task, area);
	}
	if (v->status & VMA_ANON_SHARED)
		return add_segment(plan, task, area, v->shmid);
	area->file = v->shmid <= UINT32_MAX ? plan_file_by_id(plan, v->shmid) : NULL;
	if (!area->file) {
		refuse_area(plan, task, v, "the file that is mapped there is not in files.img");
		return 0;
	}
	const struct plan_segment *anon = shared_anonymous(area->file);
	if (anon && v->flags & MAP_SHARED) {
		area->file = NULL;
		return add_segment(plan, task, area, anon->id);
	}
	if (!area->file->kind || !area->file->kind->map) {
		refuse_area(plan, task, v, "what is mapped there is no file that can be mapped: not supported yet");
		return 0;
	}
	plan_check_file(plan, area->file);
	area->writes = needs_write(v);
	plan_need_mapping(area->file, task, area->writes);
	return 0;
}

static int check_area(struct plan *plan, struct plan_task *task, struct plan_area *area)
{
	const VmaEntry *v = area->vma;
	uint32_t kind = v->status & KINDS;

	for (size_t i = 0; i < sizeof(unsupported) / sizeof(unsupported[0]); i++) {
		if (v->status & unsupported[i].status) {
			plan_refuse(plan, "memory 0x%llx-0x%llx of task %d is %s: not supported yet; restore with CRIU",
				    (unsigned long long)v->start, (unsigned long long)v->end, task->pid,
				    unsupported[i].what);
			return 0;
		}
	}
	if (v->status == VMA_AREA_AIORING) /* part_aio.c */
		return 0;
	const char *wrong = plan_check_huge_area(plan, v);
	if (wrong)
		refuse_area(plan, task, v, wrong);
	else if (!(v->status & VMA_AREA_REGULAR) || !kind || kind & (kind - 1) || v->status & VMA_AREA_AIORING ||
		 (v->status & VMA_AREA_SYSVIPC && kind != VMA_ANON_SHARED))
		refuse_area(plan, task, v, "unknown status");
	else if (v->prot & ~7u || v->flags & ~MAP_KNOWN || v->pgoff % IMAGE_PAGE_SIZE)
		refuse_area(plan, task, v, "unknown protection, flags or offset");
	else if (!(v->flags & MAP_SHARED) == !(kind & (VMA_FILE_SHARED | VMA_ANON_SHARED)))
		return find_object(plan, task, area);
	else
		refuse_area(plan, task, v, "both shared and private");
	return 0;
}

static int compare_areas(const void *a, const void *b)
{
	uint64_t x = ((const struct plan_area *)a)->vma->start, y = ((const struct plan_area *)b)->vma->start;

	return x < y ? -1 : x > y;
}

/* Sorts out what is not mapped like the rest; the real areas remain, ascending and apart from each other. */
static int sort_areas(struct plan *plan, struct plan_task *task)
{
	uint64_t end = 0;

	for (size_t i = 0; i < task->mm->n_vmas; i++) {
		const VmaEntry *v = task->mm->vmas[i];

		if (v->status & VMA_AREA_VSYSCALL)
			continue;
		if (v->start >= v->end || v->end > task->space_end || (v->start | v->end) % IMAGE_PAGE_SIZE) {
			refuse_area(plan, task, v, "not aligned or out of range");
			continue;
		}
		if (v->status & VMA_AREA_GUARD) {
			task->guards[task->n_guards++] = (struct restorer_range){ v->start, v->end - v->start };
			continue;
		}
		task->areas[task->n_areas++].vma = v;
	}
	plan_sort(task->areas, task->n_areas, sizeof(*task->areas), compare_areas);
	size_t kept = 0;
	for (size_t i = 0; i < task->n_areas; i++) {
		const VmaEntry *v = task->areas[i].vma;

		if (v->start < end) {
			refuse_area(plan, task, v, "it overlaps with the area below");
			continue;
		}
		end = v->end;
		if (!plan_vdso_takes(task, v))
			task->areas[kept++] = (struct plan_area){ .vma = v, .low = v->start };
	}
	task->n_areas = kept;
	return 0;
}

/* Pages that the dump has left with a page server. */
static int refuse_away(struct plan *plan, const char *whose, uint64_t id, uint64_t at)
{
	log_err("the page 0x%llx of %s %llu is in no image: a page server has it: use --lazy-pages, with ckpt "
		"lazy-pages --page-server",
		(unsigned long long)at, whose, (unsigned long long)id);
	return -ENOTSUP;
}

bool plan_can_come_late(const struct plan_area *area)
{
	const VmaEntry *v = area->vma;
	uint64_t madv = v->has_madv ? v->madv : 0;

	/* A child that is forked meanwhile has none of it. */
	if (madv & (1ul << MADV_WIPEONFORK | 1ul << MADV_DONTFORK))
		return false;
	return v->flags & MAP_PRIVATE && !area->file && !area->segment && !(v->flags & (MAP_HUGETLB | MAP_LOCKED)) &&
	       !(v->status & VMA_AREA_AIORING);
}

struct page_place {
	struct plan_task *task;
	size_t next; /* areas before this one end below */
};

/* Pages may span several areas that follow each other, all of them private. */
static int check_pages(struct plan *plan, void *arg, const struct pagemap_piece *piece, bool *skip)
{
	struct page_place *place = arg;
	struct plan_task *task = place->task;
	uint64_t start = piece->start, end = piece->end;

	if (task->vdso.code && start >= task->vdso.code->start && end <= task->vdso.code->end) {
		*skip = true;
		return plan_vdso_read(plan, task, piece);
	}
	while (start < end) {
		while (place->next < task->n_areas && task->areas[place->next].vma->end <= start)
			place->next++;
		struct plan_area *area = place->next < task->n_areas ? &task->areas[place->next] : NULL;
		if (!area || area->vma->start > start ||
		    (area->vma->flags & MAP_SHARED && !(area->vma->status & VMA_AREA_AIORING))) {
			plan_refuse(plan, "pagemap-%d.img: pages at 0x%llx lie in no private area", task->pid,
				    (unsigned long long)start);
			return 0;
		}
		if (piece->away && !((plan->opts->lazy_pages || plan->offline) && plan_can_come_late(area)))
			return refuse_away(plan, "task", task->pid, start);
		area->has_pages = true;
		area->away |= piece->away;
		start = area->vma->end;
	}
	return 0;
}

static void check_mm(struct plan *plan, struct plan_task *task)
{
	const MmEntry *mm = task->mm;

	task->exe = plan_file_by_id(plan, mm->exe_file_id);
	if (!task->exe || !task->exe->kind || !task->exe->kind->map) {
		plan_refuse(plan, "mm-%d.img: the executable 0x%x is not in files.img", task->pid, mm->exe_file_id);
	} else {
		plan_check_file(plan, task->exe);
		plan_need_mapping(task->exe, task, false);
	}
	if (mm->n_mm_saved_auxv > AUXV_MAX)
		plan_refuse(plan, "mm-%d.img: an auxiliary vector of %zu words, the kernel keeps %d", task->pid,
			    mm->n_mm_saved_auxv, AUXV_MAX);
	if (mm->has_lock_future && mm->lock_future & ~(uint32_t)(MCL_FUTURE | MCL_ONFAULT))
		plan_refuse(plan, "mm-%d.img: unknown flags 0x%x of mlockall", task->pid, mm->lock_future);
	if (mm->has_dumpable && (mm->dumpable < 0 || mm->dumpable > 2))
		plan_refuse(plan, "mm-%d.img: dumpable is %d", task->pid, mm->dumpable);
}

int plan_read_memory(struct plan *plan, struct plan_task *task)
{
	task->areas = plan_alloc_fixed(plan, (task->mm->n_vmas + 1) * sizeof(*task->areas));
	task->guards = plan_alloc_fixed(plan, (task->mm->n_vmas + 1) * sizeof(*task->guards));
	if (!task->areas || !task->guards)
		return -ENOMEM;
	task->space_end = task->compat ? COMPAT_SPACE_END : SPACE_END;
	check_mm(plan, task);
	int err = sort_areas(plan, task);
	for (size_t i = 0; !err && i < task->n_areas; i++)
		err = check_area(plan, task, &task->areas[i]);
	if (err)
		return err;
	struct page_place place = { .task = task };
	err = plan_read_pages(plan, IMG_PAGEMAP, task->pid, &task->pages, check_pages, &place);
	if (err == -ENOENT) {
		log_err("pagemap-%d.img is missing: the images are incomplete", task->pid);
		return -EBADMSG;
	}
	return err ? err : plan_vdso_place(plan, task);
}

static int check_segment_pages(struct plan *plan, void *arg, const struct pagemap_piece *piece, bool *skip)
{
	const struct plan_segment *s = arg;
	uint64_t end = piece->end;

	if (piece->away)
		return refuse_away(plan, "shared memory", s->id, piece->start);
	/* A memfd may end within its last page. */
	if (end <= ((s->size + IMAGE_PAGE_SIZE - 1) & -IMAGE_PAGE_SIZE))
		return 0;
	log_err("pagemap-shmem-%llu.img: pages up to 0x%llx, but the segment has %llu bytes", (unsigned long long)s->id,
		(unsigned long long)end, (unsigned long long)s->size);
	return -EBADMSG;
}

int plan_read_segments(struct plan *plan)
{
	int err = 0;

	for (struct plan_segment *s = plan->segments; !err && s; s = s->next) {
		err = plan_read_pages(plan, IMG_SHMEM_PAGEMAP, s->id, &s->pages, check_segment_pages, s);
		if (err == -ENOENT && !s->size)
			err = 0;
		if (err == -ENOENT) {
			log_err("pagemap-shmem-%llu.img is missing: the images are incomplete",
				(unsigned long long)s->id);
			err = -EBADMSG;
		}
	}
	plan_check_huge_pages(plan);
	sysv_check(plan);
	return err;
}
