/*
 * Which pages of a task belong into its image: found by PAGEMAP_SCAN (6.7), before that by reading /proc/PID/pagemap.
 * Only pages that the task made its own: not the zero page, not clean pages of files.
 */
#include "opts.h"
#include "pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "kernel_abi.h"
#include "log.h"
#include "pagemap.pb-c.h"
#include "track.h"

#define ADDRESS_END ((1ul << 47) - 4096) /* TASK_SIZE of 4-level paging */
#define WORTH_A_THREAD (256ul << 20) /* bytes of addresses, which take 1 ms; each area counts as */
#define AREA_COSTS (64ul << 10) /* so many bytes at least */
#define REGIONS 512 /* that PAGEMAP_SCAN tells at once */

int run_add(struct run_list *list, struct run run)
{
	struct run *last = list->n ? &list->r[list->n - 1] : NULL;

	if (run.start >= run.end)
		return 0;
	if (last && last->end == run.start && last->lazy == run.lazy && last->copied == run.copied &&
	    last->parent == run.parent && last->own == run.own) {
		last->end = run.end;
		return 0;
	}
	if (!(list->n & (list->n - 1))) {
		struct run *r = realloc(list->r, (list->n ? list->n * 2 : 1) * sizeof(*r));

		if (!r)
			return -ENOMEM;
		list->r = r;
	}
	list->r[list->n++] = run;
	return 0;
}

int run_compare(const void *a, const void *b)
{
	const struct run *x = a, *y = b;

	return x->start != y->start ? (x->start < y->start ? -1 : 1) : x->end < y->end ? -1 : x->end > y->end;
}

/*
 * Pages of the vDSO belong to the kernel, but are written so that a restore elsewhere can tell what it was; those of
 * AIO rings are a file's, but nobody else's. All of them, whether they were changed or not.
 */
static bool is_written_whole(const struct vma *v)
{
	return !strcmp(v->name, "[vdso]") || aio_is_ring(v);
}

static int add_whole(struct run_list *list, const struct vma *v)
{
	bool added = list->n && list->r[list->n - 1].end >= v->end;

	return added ? 0 : run_add(list, (struct run){ .start = v->start, .end = v->end });
}

/* Whether a restore may bring pages when they are needed: what is locked, or no child shall have, must be there. */
static bool may_come_late(const struct vma *v)
{
	const uint32_t not_for_children = 1u << MADV_WIPEONFORK | 1u << MADV_DONTFORK;

	return !v->ino && !v->hugetlb && !v->locked && v->prot & PROT_WRITE && !(v->madv & not_for_children);
}

/* Cuts a range of private pages at the borders of areas. *area moves along, from area to area: ranges ascend. */
static int add_range(struct run_list *list, const struct vma_list *vmas, size_t *area, struct run range)
{
	for (; *area < vmas->n && vmas->v[*area].start < range.end; ++*area) {
		const struct vma *v = &vmas->v[*area];
		struct run run = {
			.start = range.start > v->start ? range.start : v->start,
			.end = range.end < v->end ? range.end : v->end,
			.lazy = may_come_late(v),
			.copied = range.copied,
			.own = v->own,
		};
		int err = is_written_whole(v) ? add_whole(list, v) : memory_is_private(v) ? run_add(list, run) : 0;

		if (err || v->end > range.end)
			return err;
	}
	return 0;
}

/* Some of the addresses of a task, with what is found there. */
struct part {
	const struct page_scan *scan;
	uint64_t from, to;
	bool with_guards;
	struct run_list *list, *guards; /* guards may be NULL */
	int err;
};

static int take_region(struct part *p, const struct page_region *region, size_t *area)
{
	struct run range = { .start = region->start, .end = region->end };

	if (region->categories & PAGE_IS_GUARD)
		return p->guards ? run_add(p->guards, range) : 0;
	range.copied = (region->categories & (PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN)) == PAGE_IS_WPALLOWED;
	return add_range(p->list, p->scan->vmas, area, range);
}

/* Areas that follow each other, with files behind them or all without. Returns where they end. */
static uint64_t same_areas(const struct vma_list *vmas, size_t *next, bool *files)
{
	*files = *next < vmas->n && vmas->v[*next].ino;
	while (*next < vmas->n && !vmas->v[*next].ino == !*files)
		++*next;
	return *next < vmas->n ? vmas->v[*next].start : ADDRESS_END;
}

static size_t first_area(const struct vma_list *vmas, uint64_t address)
{
	size_t i = 0;

	while (i < vmas->n && vmas->v[i].end <= address)
		i++;
	return i;
}

static void *scan_part(void *part)
{
	struct part *p = part;
	const struct page_scan *scan = p->scan;
	struct page_region regions[REGIONS];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.vec = (uint64_t)regions,
		.vec_len = REGIONS,
		.start = p->from,
		.end = p->from,
		.walk_end = p->from,
		/* present or swapped, and neither of a file, nor the zero page, nor a guard */
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED | (p->with_guards ? PAGE_IS_GUARD : 0) |
			       (scan->tracked ? PAGE_IS_WPALLOWED | PAGE_IS_WRITTEN : 0),
	};
	size_t area = first_area(scan->vmas, p->from), next = area;
	bool files;

	while (!p->err && arg.walk_end < p->to) {
		if (arg.walk_end == arg.end) {
			arg.end = same_areas(scan->vmas, &next, &files);
			if (arg.end > p->to)
				arg.end = p->to;
			/* Where there is no file, not asking saves looking at each page: three quarters of the time. */
			arg.category_mask = arg.category_inverted = PAGE_IS_PFNZERO | (files ? PAGE_IS_FILE : 0);
		}
		long n = ioctl(scan->pagemap, PAGEMAP_SCAN, &arg);

		p->err = n < 0 ? -errno : 0;
		for (long i = 0; i < n && !p->err; i++)
			p->err = take_region(p, &regions[i], &area);
		arg.start = arg.walk_end;
	}
	if (!p->err)
		p->err = add_range(p->list, scan->vmas, &area, (struct run){ p->to, p->to });
	return NULL;
}

/* Adds the runs of the second list, which follow those of the first. */
static int append(struct run_list *list, const struct run_list *more)
{
	int err = 0;

	for (size_t i = 0; i < more->n && !err; i++)
		err = run_add(list, more->r[i]);
	return err;
}

static uint64_t cost(const struct vma *v)
{
	uint64_t bytes = memory_is_private(v) ? v->end - v->start : 0;

	return bytes > AREA_COSTS ? bytes : AREA_COSTS;
}

/* Where half of the work lies below; 0: there is too little for two threads. */
static uint64_t find_middle(const struct vma_list *vmas)
{
	uint64_t all = 0, before = 0;

	for (size_t i = 0; i < vmas->n; i++)
		all += cost(&vmas->v[i]);
	for (size_t i = 0; i < vmas->n && all >= WORTH_A_THREAD; i++) {
		const struct vma *v = &vmas->v[i];
		uint64_t half = all / 2 - before;

		if (cost(v) > half)
			return v->end - v->start <= half || is_written_whole(v) ? v->start
										: (v->start + half) & -4096ul;
		before += cost(v);
	}
	return 0;
}

/* Two threads take a half each. */
static int scan_new(const struct page_scan *scan, bool with_guards, struct run_list *list)
{
	uint64_t middle = find_middle(scan->vmas);
	struct run_list more = {}, more_guards = {};
	struct part low = { scan, 0, middle ?: ADDRESS_END, with_guards, list, scan->guards, 0 };
	struct part high = { scan, low.to, ADDRESS_END, with_guards, &more, scan->guards ? &more_guards : NULL, 0 };
	pthread_t helper;
	bool helped = middle && !pthread_create(&helper, NULL, scan_part, &high);

	scan_part(&low);
	if (helped)
		pthread_join(helper, NULL);
	else if (middle)
		scan_part(&high);
	int err = low.err ? low.err : high.err;
	if (!err)
		err = append(list, &more);
	if (!err)
		err = append(scan->guards, &more_guards);
	free(more.r);
	free(more_guards.r);
	return err;
}

/* Page frames that hold nothing but zeros, for all tasks: one page, and one huge page. */
struct zero_frames {
	uint64_t page, huge;
};

static uint64_t frame_of(const volatile char *page)
{
	_cleanup_close_ int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t word = *page; /* reading it maps it */

	return pread(pagemap, &word, 8, (uintptr_t)page / 4096 * 8) == 8 && word & PM_PRESENT ? word & PM_PFN : 0;
}

static struct zero_frames find_zero_frames(void)
{
	const size_t huge = 2ul << 20;
	char *at = mmap(NULL, 2 * huge, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct zero_frames zero = {};

	if (at == MAP_FAILED)
		return zero;
	char *aligned = (char *)(((uintptr_t)at + huge - 1) & -huge);
	madvise(aligned, huge, MADV_NOHUGEPAGE);
	zero.page = frame_of(aligned);
	madvise(aligned, huge, MADV_DONTNEED);
	madvise(aligned, huge, MADV_HUGEPAGE);
	zero.huge = frame_of(aligned);
	munmap(at, 2 * huge);
	return zero;
}

static bool is_zero_frame(const struct zero_frames *zero, uint64_t word)
{
	uint64_t frame = word & PM_PRESENT ? word & PM_PFN : 0;

	return frame && (frame == zero->page || (zero->huge && frame - zero->huge < 512));
}

/* Before 6.7: one word a page. */
static int scan_old(const struct page_scan *scan, struct run_list *list)
{
	const struct zero_frames zero = find_zero_frames();
	_cleanup_free_ uint64_t *words = malloc(65536);
	int err = words ? 0 : -ENOMEM;

	for (size_t i = 0; i < scan->vmas->n && !err; i++) {
		const struct vma *v = &scan->vmas->v[i];

		if (is_written_whole(v))
			err = add_whole(list, v);
		if (!memory_is_private(v) || is_written_whole(v) || (v->empty && !v->hugetlb))
			continue;
		for (uint64_t at = v->start; at < v->end && !err;) {
			size_t pages = (v->end - at) / 4096 < 8192 ? (v->end - at) / 4096 : 8192;
			ssize_t got = pread(scan->pagemap, words, pages * 8, at / 4096 * 8);

			if (got <= 0)
				return got ? -errno : -EIO;
			for (size_t p = 0; p < got / sizeof(uint64_t) && !err; p++, at += 4096) {
				uint64_t word = words[p];
				bool mine = word & (PM_PRESENT | PM_SWAPPED) && !(word & PM_FILE);
				struct run page = { at, at + 4096 };
				size_t area = i;

				page.copied = scan->tracked && !(word & PM_SOFT_DIRTY) && tracking_is_worth_it(v);
				if (mine && !is_zero_frame(&zero, word))
					err = add_range(list, scan->vmas, &area, page);
			}
		}
	}
	return err;
}

int pages_find(const struct page_scan *scan, struct run_list *list)
{
	bool soft_dirty = scan->tracked && tracking_by_soft_dirty();
	int err = soft_dirty ? -ENOTTY : scan_new(scan, true, list);

	if (err == -EINVAL) /* guards came with 6.15 */
		err = scan_new(scan, false, list);
	if (err == -ENOTTY)
		err = scan_old(scan, list);
	return err && err != -ESRCH ? log_errno(-err, "can't find the pages of task %d", scan->pid) : err;
}

/* list: NULL, nobody wants to know. */
static int arm(int pagemap, struct run run, struct run_list *list)
{
	struct page_region regions[REGIONS];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_WP_MATCHING, /* passes over areas that are not tracked */
		.start = run.start,
		.end = run.end,
		.vec = (uint64_t)regions, /* without it the kernel arms holes, too */
		.vec_len = REGIONS,
		.category_inverted = PAGE_IS_PFNZERO,
		.category_mask = PAGE_IS_PFNZERO | PAGE_IS_WRITTEN,
		/* never holes: they would get markers, and page tables for these */
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_WRITTEN,
	};
	int err = 0;

	do {
		long n = ioctl(pagemap, PAGEMAP_SCAN, &arg);

		if (n < 0)
			return -errno;
		for (long i = 0; list && i < n && !err; i++)
			err = run_add(list, (struct run){ regions[i].start, regions[i].end });
		arg.start = arg.walk_end;
	} while (!err && arg.walk_end < run.end);
	return err;
}

int pages_arm(int pagemap, struct run_list *list)
{
	return arm(pagemap, (struct run){ 0, ADDRESS_END }, list);
}

int pages_arm_run(int pagemap, struct run run)
{
	return arm(pagemap, run, NULL);
}

/* Adds a run of copied pages to the list, those that the other list has as not copied. *next moves along. */
static int add_marked(struct run_list *list, struct run r, const struct run_list *other, size_t *next)
{
	int err = 0;

	while (r.start < r.end && !err) {
		while (*next < other->n && other->r[*next].end <= r.start)
			++*next;
		const struct run *o = *next < other->n ? &other->r[*next] : NULL;
		struct run part = r;

		part.copied = !o || o->start > r.start;
		if (o && part.copied)
			part.end = o->start < r.end ? o->start : r.end;
		else if (o)
			part.end = o->end < r.end ? o->end : r.end;
		err = run_add(list, part);
		r.start = part.end;
	}
	return err;
}

int runs_mark(struct run_list *list, const struct run_list *other)
{
	struct run_list marked = {};
	size_t next = 0;
	int err = 0;

	for (size_t i = 0; i < list->n && !err; i++)
		err = list->r[i].copied ? add_marked(&marked, list->r[i], other, &next) : run_add(&marked, list->r[i]);
	free(list->r);
	*list = marked;
	return err;
}

void runs_mark_all(struct run_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		list->r[i].copied = true;
}

int runs_mark_from(struct run_list *list, uint64_t offset)
{
	uint64_t at = 0;

	for (size_t i = 0; i < list->n; i++) {
		uint64_t len = list->r[i].end - list->r[i].start;

		if (at + len > offset) {
			struct run rest = { offset > at ? list->r[i].start + (offset - at) : list->r[i].start, ~0ul };

			return runs_mark(list, &(struct run_list){ &rest, 1 });
		}
		at += len;
	}
	return 0;
}

void runs_refer(struct run_list *list, bool parent)
{
	for (size_t i = 0; i < list->n; i++) {
		list->r[i].parent = list->r[i].copied && parent;
		list->r[i].copied = false;
	}
}

uint64_t runs_common(const struct run_list *a, const struct run_list *b)
{
	uint64_t done_a = 0, done_b = 0, bytes = 0;

	for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
		uint64_t at = a->r[i].start + done_a;

		if (at != b->r[j].start + done_b)
			break;
		uint64_t end = a->r[i].end < b->r[j].end ? a->r[i].end : b->r[j].end;

		bytes += end - at;
		done_a += end - at;
		done_b += end - at;
		if (end == a->r[i].end) {
			i++;
			done_a = 0;
		}
		if (end == b->r[j].end) {
			j++;
			done_b = 0;
		}
	}
	return bytes;
}

uint64_t runs_bytes(const struct run_list *list, bool all)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < list->n; i++)
		if (!list->r[i].parent && (all || !list->r[i].copied))
			bytes += list->r[i].end - list->r[i].start;
	return bytes;
}

void runs_drop_lazy(struct run_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->n; i++)
		if (!list->r[i].lazy || list->r[i].parent)
			list->r[kept++] = list->r[i];
	list->n = kept;
}

void runs_count(const struct run_list *list, struct task_stats *stats)
{
	for (size_t i = 0; i < list->n; i++) {
		uint64_t pages = (list->r[i].end - list->r[i].start) / IMAGE_PAGE_SIZE;

		stats->pages_scanned += pages;
		*(list->r[i].parent ? &stats->pages_parent : &stats->pages_written) += pages;
	}
}

uint64_t runs_overlap(const struct run_list *list, const struct run_list *other)
{
	uint64_t bytes = 0;

	for (size_t i = 0, j = 0; i < list->n; i++) {
		const struct run *r = &list->r[i];

		while (j < other->n && other->r[j].end <= r->start)
			j++;
		for (size_t k = j; !r->copied && k < other->n && other->r[k].start < r->end; k++) {
			uint64_t start = other->r[k].start > r->start ? other->r[k].start : r->start;
			uint64_t end = other->r[k].end < r->end ? other->r[k].end : r->end;

			bytes += end - start;
		}
	}
	return bytes;
}

int pagemap_write(struct dump *d, enum image_kind kind, unsigned long id, uint32_t pages_id,
		  const struct run_list *list)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct image_writer w;

	head.pages_id = pages_id;
	image_create(&w, &d->images, kind, id);
	image_put(&w, &head.base);
	for (size_t i = 0; i < list->n; i++) {
		const struct run *first = &list->r[i];
		PagemapEntry e = PAGEMAP_ENTRY__INIT;

		while (i + 1 < list->n && list->r[i + 1].start == list->r[i].end &&
		       list->r[i + 1].lazy == first->lazy && list->r[i + 1].parent == first->parent)
			i++; /* whether they are copied already is nobody's business */
		e.vaddr = first->start;
		e.has_nr_pages = true;
		e.nr_pages = (list->r[i].end - first->start) / IMAGE_PAGE_SIZE;
		e.has_flags = true;
		e.flags = first->parent		? PE_PARENT
			  : !first->lazy	? PE_PRESENT
			  : d->opts->lazy_pages ? PE_LAZY /* it stays where it is */
						: PE_PRESENT | PE_LAZY;
		image_put(&w, &e.base);
	}
	return image_close(&w);
}
