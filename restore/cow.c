/*
 * Memory that is shared by fork (copy on write). Before a task forks, it maps and loads the areas that its children
 * have too (plan_cow.c), where they belong; a child unmaps what it does not have, throws away pages that its own
 * image lacks, and writes only those that differ. So what is equal stays one page for both, as it was. The blob
 * keeps these areas and maps all others.
 *
 * Where something of our own is in the way, an area lies elsewhere meanwhile, and the blob moves it.
 */
#include "cow.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "hole.h"
#include "log.h"
#include "page_files.h"
#include "plan.h"

#define BUFFER (64ul << 10)

/* Pages in the order of their addresses, on the way through an image. */
struct cursor {
	const struct plan_pages *pages;
	size_t read, run;
	uint64_t before; /* bytes of this read before the run */
};

struct piece {
	uint64_t start, end;
	uint32_t file; /* the page image: one of the task's */
	uint64_t offset; /* in it */
};

/* Finds the first pages between from and to. from must not be lower than in the call before. */
static bool find_piece(struct cursor *c, uint64_t from, uint64_t to, struct piece *piece)
{
	while (c->pages && c->read < c->pages->n_reads) {
		const struct restorer_read *r = &c->pages->reads[c->read];
		const struct restorer_pages *run = &r->pages[c->run];

		if (c->run == r->count) {
			c->read++;
			c->run = c->before = 0;
		} else if (run->addr + run->len <= from) {
			c->before += run->len;
			c->run++;
		} else if (run->addr >= to) {
			return false;
		} else {
			piece->start = run->addr > from ? run->addr : from;
			piece->end = run->addr + run->len < to ? run->addr + run->len : to;
			piece->file = r->file;
			piece->offset = r->offset + c->before + (piece->start - run->addr);
			return true;
		}
	}
	return false;
}

/* Where an address of the area is at present. */
static uint8_t *place(const struct plan_area *a, uint64_t addr)
{
	return (uint8_t *)(a->at + (addr - a->low));
}

static int read_at(const struct plan_task *task, int fd, uint8_t *to, uint64_t len, uint64_t offset)
{
	for (uint64_t done = 0; done < len;) {
		ssize_t n = pread(fd, to + done, len - done, offset + done);

		if (n <= 0)
			return log_errno(n ? errno : EBADMSG, "can't read the pages of task %d", task->pid);
		done += n;
	}
	return 0;
}

/* Writes those pages that are not what was inherited. */
static int read_different(const struct plan_task *task, int fd, uint8_t *to, uint64_t len, uint64_t offset)
{
	uint8_t buffer[BUFFER] __attribute__((aligned(4096)));

	for (uint64_t done = 0; done < len;) {
		uint64_t size = len - done < BUFFER ? len - done : BUFFER;
		int err = read_at(task, fd, buffer, size, offset + done);

		if (err)
			return err;
		for (uint64_t i = 0; i < size; i += IMAGE_PAGE_SIZE)
			if (memcmp(to + done + i, buffer + i, IMAGE_PAGE_SIZE))
				memcpy(to + done + i, buffer + i, IMAGE_PAGE_SIZE);
		done += size;
	}
	return 0;
}

static uint64_t lower(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Makes the pages of the area those of the image. The forker's, which are there already, end at a->inherited. */
static int load_area(const struct plan_task *task, const struct plan_area *a, struct page_files *files,
		     struct cursor *mine, struct cursor *forkers)
{
	uint64_t pos = a->vma->start, end = a->vma->end;
	int err = 0;

	while (!err && pos < end) {
		struct piece own = { end, end, 0, 0 }, old = { end, end, 0, 0 };

		find_piece(mine, pos, end, &own);
		if (pos < a->inherited)
			find_piece(forkers, pos, a->inherited, &old);
		if (own.start == end && old.start == end)
			break;
		if (old.start < own.start) {
			uint64_t stop = lower(old.end, own.start);

			if (madvise(place(a, old.start), stop - old.start, MADV_DONTNEED))
				err = log_errno(errno, "can't drop pages at 0x%lx of task %d", old.start, task->pid);
			pos = stop;
		} else {
			bool both = old.start == own.start && own.start < end;
			uint64_t stop = both ? lower(own.end, old.end) : lower(own.end, old.start);
			int fd = page_files_get(files, own.file);

			err = fd < 0 ? fd
				     : (both ? read_different : read_at)(task, fd, place(a, own.start),
									 stop - own.start, own.offset);
			pos = stop;
		}
	}
	return err;
}

static int load(struct plan *plan, const struct plan_task *task, const struct plan_task *forker)
{
	struct cursor mine = { .pages = &task->pages }, forkers = { .pages = forker ? &forker->pages : NULL };
	_cleanup_page_files_ struct page_files files = { plan, &task->pages, NULL };
	int err = 0;

	for (size_t i = 0; !err && i < task->n_areas; i++) {
		if (task->areas[i].at)
			err = load_area(task, &task->areas[i], &files, &mine, &forkers);
	}
	return err;
}

/* The area of the forker in which ours begins, when it is there. *next moves along: areas ascend. */
static const struct plan_area *find_source(const struct plan_task *forker, const struct plan_area *a, size_t *next)
{
	while (*next < forker->n_areas && forker->areas[*next].vma->end <= a->low)
		++*next;
	const struct plan_area *p = *next < forker->n_areas ? &forker->areas[*next] : NULL;

	return p && p->forked && p->at && p->low <= a->low && plan_may_share(p, a) ? p : NULL;
}

/* Where what we share ends: areas of the forker that follow each other may be one of ours. */
static uint64_t shared_end(const struct plan_task *forker, const struct plan_area *p, const struct plan_area *a)
{
	const struct plan_area *last = &forker->areas[forker->n_areas - 1];

	for (const struct plan_area *n = p + 1; n <= last && n->low < a->vma->end; p = n++)
		if (!n->forked || n->low != p->vma->end || n->at != p->at + (p->vma->end - p->low) ||
		    !plan_may_share(n, a))
			break;
	return lower(p->vma->end, a->vma->end);
}

/* Notes what of the forker's memory becomes ours, where it is already. */
static void inherit(const struct plan *plan, struct plan_task *task, const struct plan_task *forker)
{
	size_t next = 0;

	for (size_t i = 0; i < task->n_areas; i++) {
		struct plan_area *a = &task->areas[i];
		const struct plan_area *p = find_source(forker, a, &next);
		uint64_t at = p ? p->at + (a->low - p->low) : 0;

		if (!p || (at != a->low && !hole_stays_free(plan, task, at, a->vma->end - a->low)))
			continue;
		a->inherited = shared_end(forker, p, a);
		a->at = at;
	}
}

static int compare_ranges(const void *a, const void *b)
{
	uint64_t x = ((const struct restorer_range *)a)->start, y = ((const struct restorer_range *)b)->start;

	return x < y ? -1 : x > y;
}

size_t cow_kept(const struct plan_task *task, struct restorer_range *kept)
{
	size_t n = 0;

	for (size_t i = 0; i < task->n_areas; i++) {
		const struct plan_area *a = &task->areas[i];

		if (a->at)
			kept[n++] = (struct restorer_range){ (uint64_t)place(a, a->vma->start),
							     a->vma->end - a->vma->start };
	}
	qsort(kept, n, sizeof(*kept), compare_ranges);
	return n;
}

static int unmap(const struct plan_task *task, uint64_t start, uint64_t end)
{
	if (start >= end || !munmap((void *)start, end - start))
		return 0;
	return log_errno(errno, "can't unmap 0x%lx of task %d", start, task->pid);
}

/* Unmaps what the forker loaded and we do not share. Ours are parts of its areas, or of several in a row. */
static int drop_rest(struct plan *plan, const struct plan_task *task, const struct plan_task *forker)
{
	struct restorer_range *kept = plan_alloc(plan, (task->n_areas + 1) * sizeof(*kept));
	size_t n = 0;
	int err = 0;

	if (!kept)
		return -ENOMEM;
	for (size_t i = 0; i < task->n_areas; i++)
		if (task->areas[i].at)
			kept[n++] = (struct restorer_range){ task->areas[i].at,
							     task->areas[i].inherited - task->areas[i].low };
	qsort(kept, n, sizeof(*kept), compare_ranges);
	for (size_t i = 0; !err && i < forker->n_areas; i++) {
		const struct plan_area *p = &forker->areas[i];
		uint64_t pos = p->at, end = p->at + (p->vma->end - p->low);
		size_t low = 0, high = n;

		if (!p->at)
			continue;
		while (low < high) {
			size_t middle = (low + high) / 2;

			if (kept[middle].start + kept[middle].len <= pos)
				low = middle + 1;
			else
				high = middle;
		}
		for (; !err && low < n && kept[low].start < end; low++) {
			err = unmap(task, pos, kept[low].start);
			pos = kept[low].start + kept[low].len;
		}
		if (!err)
			err = unmap(task, pos, end);
	}
	return err;
}

/* What of our area was not the forker's. It shall be one area, so it cannot be mapped beside. */
static int extend(const struct plan_task *task, struct plan_area *a)
{
	uint64_t have = a->inherited - a->low, want = a->vma->end - a->low;

	if (have == want)
		return 0;
	if (mremap((void *)a->at, have, want, 0) != MAP_FAILED)
		return 0;
	/* Something of ours is in the way: no sharing. */
	int err = unmap(task, a->at, a->at + have);
	a->at = a->inherited = 0;
	return err;
}

/* Maps an area that children shall have too, where it belongs, or where there is room. */
static int map_area(struct plan *plan, const struct plan_task *task, struct plan_area *a)
{
	const VmaEntry *v = a->vma;
	uint64_t len = v->end - a->low;
	struct hole how = {
		.size = len,
		.prot = PROT_READ | PROT_WRITE,
		.flags = (v->flags & (MAP_GROWSDOWN | MAP_NORESERVE)) | MAP_PRIVATE | (a->file ? 0 : MAP_ANONYMOUS),
		.fd = a->file ? a->file->map[a->writes].fd : -1,
		.offset = v->pgoff,
	};
	void *got = mmap((void *)a->low, len, how.prot, how.flags | MAP_FIXED_NOREPLACE, how.fd, how.offset);

	if (got != MAP_FAILED && got != (void *)a->low)
		munmap(got, len);
	if (got == MAP_FAILED && errno != EEXIST)
		return log_errno(errno, "can't map 0x%lx of task %d", a->low, task->pid);
	long at = got == (void *)a->low ? (long)got : hole_map(plan, task, &how);
	if (at < 0)
		return at;
	a->at = at;
	for (int advice = MADV_HUGEPAGE; advice <= MADV_NOHUGEPAGE; advice++)
		if (v->has_madv && v->madv >> advice & 1 && madvise((void *)at, len, advice))
			return log_errno(errno, "can't advise the kernel on 0x%lx of task %d", v->start, task->pid);
	return 0;
}

int cow_load(struct plan *plan, struct plan_task *task)
{
	const struct plan_task *forker = plan_forker(task);
	int err = 0;

	if (forker) {
		inherit(plan, task, forker);
		err = drop_rest(plan, task, forker);
	}
	for (size_t i = 0; !err && i < task->n_areas; i++) {
		struct plan_area *a = &task->areas[i];

		if (a->at)
			err = extend(task, a);
		if (!err && !a->at && a->forked)
			err = map_area(plan, task, a);
	}
	return err ? err : load(plan, task, forker);
}
