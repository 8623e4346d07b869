/* The memory in a directory of images, by kind: areas, their size, what of it is in page images. */
#include "show_dir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cleanup.h"

#define PAGE_PRESENT 4 /* pagemap_entry.flags */
#define AREA_REGULAR 0x1u /* vma_entry.status */

/* Kinds of memory by the first bit of vma_entry.status that matches. */
static const struct {
	uint32_t status;
	const char *name;
} kinds[] = {
	{ 0x2, "stack" },
	{ 0x20, "heap" },
	{ 0x8, "vdso" },
	{ 0x1000, "vvar" },
	{ 0x4, "vsyscall" },
	{ 0x400, "SysV shared" },
	{ 0x2000, "aio ring" },
	{ 0x800, "packet socket" },
	{ 0x4000, "memfd" },
	{ 0x40, "private file" },
	{ 0x80, "shared file" },
	{ 0x100, "shared anonymous" },
	{ 0x200, "private anonymous" },
	{ 0, "other" },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))
#define STACK 0 /* place in kinds */
#define MEMFD 0x4000u
#define SHMEM (0x100u | 0x400u) /* whose shmid names a pagemap */

struct kind_sum {
	uint64_t areas, bytes, image_bytes;
};

struct memory {
	struct kind_sum sum[KINDS];
	uint64_t stray_bytes; /* pages of no area */
	uint64_t *shmids; /* whose pagemaps are counted */
	size_t shmid_count;
};

static size_t kind_of(const VmaEntry *area)
{
	size_t k = 0;

	if (area->flags & MAP_GROWSDOWN) /* CRIU marks a stack by this alone */
		return STACK;
	while (kinds[k].status && !(area->status & kinds[k].status))
		k++;
	return k;
}

static size_t kind_of_status(uint32_t status)
{
	return kind_of(&(const VmaEntry){ .status = status });
}

static uint64_t pages_of(const PagemapEntry *p)
{
	return p->has_nr_pages ? p->nr_pages : p->compat_nr_pages;
}

/* Are the pages in this directory, not in the parent's? Before flags there was in_parent. */
static bool is_present(const PagemapEntry *p)
{
	return p->has_flags ? p->flags & PAGE_PRESENT : !(p->has_in_parent && p->in_parent);
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Adds the pages of one pagemap entry to the areas that it lies in; both are sorted, *at is where the last one was. */
static void add_pages(struct memory *m, const MmEntry *mm, size_t *at, const PagemapEntry *p)
{
	uint64_t from = p->vaddr, left = pages_of(p);

	if (left > (UINT64_MAX - from) / IMAGE_PAGE_SIZE)
		left = (UINT64_MAX - from) / IMAGE_PAGE_SIZE;
	uint64_t to = from + left * IMAGE_PAGE_SIZE;
	while (*at < mm->n_vmas && mm->vmas[*at]->end <= from)
		++*at;
	for (size_t i = *at; i < mm->n_vmas && from < to && mm->vmas[i]->start < to; i++) {
		uint64_t end = min(to, mm->vmas[i]->end);

		if (mm->vmas[i]->start > from) {
			m->stray_bytes += mm->vmas[i]->start - from;
			from = mm->vmas[i]->start;
		}
		if (end <= from)
			continue;
		m->sum[kind_of(mm->vmas[i])].image_bytes += end - from;
		from = end;
	}
	m->stray_bytes += to - from;
}

/* Counts the pages of shared memory once, however many tasks have it. */
static void add_shared(struct memory *m, struct dir_info *info, uint64_t shmid, size_t kind)
{
	_cleanup_entries_ struct entries pagemap = {};

	for (size_t i = 0; i < m->shmid_count; i++)
		if (m->shmids[i] == shmid)
			return;
	uint64_t *grown = realloc(m->shmids, (m->shmid_count + 1) * sizeof(*grown));
	if (!grown) {
		info->err = info->err ?: -ENOMEM;
		return;
	}
	m->shmids = grown;
	grown[m->shmid_count++] = shmid;
	read_entries(info, IMG_SHMEM_PAGEMAP, shmid, &pagemap);
	for (size_t i = 1; i < pagemap.count; i++) {
		const PagemapEntry *p = (const PagemapEntry *)pagemap.message[i];

		if (is_present(p))
			m->sum[kind].image_bytes += pages_of(p) * IMAGE_PAGE_SIZE;
	}
}

static void add_task(struct memory *m, struct dir_info *info, uint32_t pid)
{
	_cleanup_entries_ struct entries image = {}, pagemap = {};
	size_t at = 0;

	read_entries(info, IMG_MM, pid, &image);
	if (!image.count)
		return;
	const MmEntry *mm = (const MmEntry *)image.message[0];
	for (size_t i = 0; i < mm->n_vmas; i++) {
		const VmaEntry *area = mm->vmas[i];
		size_t kind = kind_of(area);

		m->sum[kind].areas++;
		m->sum[kind].bytes += area->end > area->start ? area->end - area->start : 0;
		if ((kinds[kind].status & SHMEM) && (area->status & AREA_REGULAR))
			add_shared(m, info, area->shmid, kind);
	}
	read_entries(info, IMG_PAGEMAP, pid, &pagemap);
	for (size_t i = 1; i < pagemap.count; i++)
		if (is_present((const PagemapEntry *)pagemap.message[i]))
			add_pages(m, mm, &at, (const PagemapEntry *)pagemap.message[i]);
}

static void show_sum(struct show_out *out, const char *name, const struct kind_sum *sum)
{
	char size[32], image[32];

	if (out->json) {
		out_object(out, NULL, 0);
		out_string(out, "kind", name);
		out_value(out, "areas", "%" PRIu64, sum->areas);
		out_value(out, "bytes", "%" PRIu64, sum->bytes);
		out_value(out, "image_bytes", "%" PRIu64, sum->image_bytes);
		out_object_end(out);
		return;
	}
	out_text(out, "  %-18s %6" PRIu64 " %10s %10s\n", name, sum->areas, format_size(size, sizeof(size), sum->bytes),
		 format_size(image, sizeof(image), sum->image_bytes));
}

void show_memory(struct show_out *out, struct dir_info *info)
{
	_cleanup_entries_ struct entries memfds = {};
	struct memory m = {};
	struct kind_sum all = {};

	for (size_t i = 0; i < info->pstree.count; i++)
		add_task(&m, info, info->tasks[i].tree->pid);
	read_entries(info, IMG_MEMFD_INODE, 0, &memfds);
	for (size_t i = 0; i < memfds.count; i++)
		add_shared(&m, info, ((const MemfdInodeEntry *)memfds.message[i])->shmid, kind_of_status(MEMFD));
	out_text(out, "\nMemory              areas       size  in images\n");
	out_list(out, "memory");
	for (size_t k = 0; k < KINDS; k++) {
		if (!m.sum[k].areas && !m.sum[k].image_bytes)
			continue;
		show_sum(out, kinds[k].name, &m.sum[k]);
		all.areas += m.sum[k].areas;
		all.bytes += m.sum[k].bytes;
		all.image_bytes += m.sum[k].image_bytes;
	}
	if (m.stray_bytes)
		show_sum(out, "outside of areas", &(struct kind_sum){ .image_bytes = m.stray_bytes });
	out_list_end(out);
	if (!out->json)
		show_sum(out, "all", &all);
	free(m.shmids);
}
