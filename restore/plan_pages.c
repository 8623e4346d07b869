/*
 * Page maps (pagemap-PID.img, pagemap-shmem-ID.img): which pages stand in pages-N.img, in order. Entries
 * that follow each other in memory become one; entries that follow each other in the image are read by one
 * system call.
 */
#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "log.h"

#define SPACE_END (1ul << 47)

static bool is_present(const PagemapEntry *e)
{
	return e->has_flags ? e->flags & PE_PRESENT : !(e->has_in_parent && e->in_parent);
}

/* Returns the bytes of the entry, or 0 when it is not well formed. */
static uint64_t entry_bytes(const PagemapEntry *e)
{
	uint64_t pages = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages;

	if (e->vaddr % IMAGE_PAGE_SIZE || e->vaddr >= SPACE_END || !pages ||
	    pages > (SPACE_END - e->vaddr) / IMAGE_PAGE_SIZE)
		return 0;
	return pages * IMAGE_PAGE_SIZE;
}

/* Adds a range behind those that are there. */
static void add_pages(struct plan_pages *pages, struct restorer_pages *list, size_t *n, uint64_t start, uint64_t len,
		      uint64_t offset)
{
	struct restorer_read *last = pages->n_reads ? &pages->reads[pages->n_reads - 1] : NULL;
	struct restorer_pages *before = *n ? &list[*n - 1] : NULL;

	/* reads[].offset is where the read ends while it grows; keep_reads() puts that right. */
	if (!last || last->offset != offset) {
		last = &pages->reads[pages->n_reads++];
		*last = (struct restorer_read){ .offset = offset, .pages = &list[*n] };
		before = NULL;
	}
	last->offset += len;
	if (before && before->addr + before->len == start) {
		before->len += len;
		return;
	}
	list[(*n)++] = (struct restorer_pages){ start, len };
	last->count++;
}

/* Keeps what was found, in memory of the right size. */
static int keep_reads(struct plan *plan, struct plan_pages *pages, const struct restorer_pages *list, size_t n)
{
	const struct restorer_read *reads = pages->reads;
	struct restorer_pages *kept = plan_alloc_fixed(plan, n * sizeof(*kept));

	pages->reads = plan_alloc_fixed(plan, pages->n_reads * sizeof(*reads));
	if (!kept || !pages->reads)
		return -ENOMEM;
	memcpy(kept, list, n * sizeof(*kept));
	for (size_t i = 0; i < pages->n_reads; i++) {
		struct restorer_read *r = &pages->reads[i];

		*r = reads[i];
		r->pages = kept + (reads[i].pages - list);
		for (uint64_t p = 0; p < r->count; p++)
			r->offset -= r->pages[p].len;
	}
	return 0;
}

static int check_image_size(struct plan *plan, const char *name, uint32_t image, uint64_t bytes)
{
	struct stat st;
	_cleanup_close_ int fd = image_open_raw(&plan->images, IMG_PAGES, image);

	if (fd == -ENOENT) {
		log_err("pages-%u.img, which %s refers to, is missing: the images are incomplete", image, name);
		return -EBADMSG;
	}
	if (fd < 0)
		return fd;
	if (fstat(fd, &st))
		return log_errno(errno, "pages-%u.img", image);
	if ((uint64_t)st.st_size < bytes) {
		log_err("pages-%u.img is %lld bytes long, but %s says that it holds %llu: the images are incomplete",
			image, (long long)st.st_size, name, (unsigned long long)bytes);
		return -EBADMSG;
	}
	return 0;
}

struct page_reader {
	struct plan *plan;
	struct image_reader image;
	struct plan_pages *pages;
	struct restorer_pages *list;
	size_t n;
	uint64_t offset, end; /* in the page image, in memory */
	page_check *check;
	void *arg;
};

static int add_entry(struct page_reader *r, const PagemapEntry *e)
{
	uint64_t len = entry_bytes(e);
	bool skip = false;

	if (!len || e->vaddr < r->end)
		return image_bad(&r->image, "pages at 0x%llx are not aligned, out of range or not ascending",
				 (unsigned long long)e->vaddr);
	if ((e->has_flags && e->flags & PE_PARENT) || (e->has_in_parent && e->in_parent))
		return image_bad(&r->image, "pages in a parent image: incremental images are not supported yet");
	r->end = e->vaddr + len;
	if (!is_present(e))
		return 0;
	int err = r->check(r->plan, r->arg, e->vaddr, r->end, r->offset, &skip);
	if (!err && !skip)
		add_pages(r->pages, r->list, &r->n, e->vaddr, len, r->offset);
	r->offset += len;
	return err;
}

static int read_entries(struct page_reader *r)
{
	ProtobufCMessage *m;
	int err = image_get(&r->image, &m);

	if (err <= 0)
		return err ? err : image_bad(&r->image, "empty");
	r->pages->image = ((PagemapHead *)m)->pages_id;
	protobuf_c_message_free_unpacked(m, NULL);
	/* An entry takes at least 6 bytes: enough room for all. */
	size_t most = (r->image.len - r->image.pos) / 6 + 1;
	_cleanup_free_ struct restorer_pages *list = malloc(most * sizeof(*list));
	_cleanup_free_ struct restorer_read *reads = malloc(most * sizeof(*reads));
	if (!list || !reads)
		return -ENOMEM;
	r->list = list;
	r->pages->reads = reads;
	while ((err = image_get(&r->image, &m)) > 0) {
		err = add_entry(r, (PagemapEntry *)m);
		protobuf_c_message_free_unpacked(m, NULL);
		if (err)
			return err;
	}
	return err ? err : keep_reads(r->plan, r->pages, list, r->n);
}

int plan_read_pages(struct plan *plan, enum image_kind kind, uint64_t id, struct plan_pages *pages, page_check *check,
		    void *arg)
{
	struct page_reader r = { .plan = plan, .pages = pages, .check = check, .arg = arg };
	int err = image_open(&r.image, &plan->images, kind, id);

	if (err)
		return err;
	err = read_entries(&r);
	if (!err && r.offset)
		err = check_image_size(plan, r.image.name, pages->image, r.offset);
	image_reader_close(&r.image);
	return err;
}
