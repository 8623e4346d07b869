/*
 * Which pages stand where (page maps of the images and of their parents, include/page_chain.h): ranges that follow each
 * other in memory become one; those that follow each other in a page image are read by one system call.
 */
#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "log.h"
#include "page_files.h"

/* What was found, in arrays that grow. */
struct page_reader {
	struct plan *plan;
	struct plan_pages *pages;
	struct restorer_read *reads; /* pages are not set yet */
	struct restorer_pages *list;
	struct plan_page_file *files;
	size_t n_reads, n_pages, n_files;
	uint64_t next; /* offset behind the last read */
	page_check *check;
	void *arg;
};

/* Makes room for one more in an array whose size doubles. Returns whether there is memory. */
static bool grow(void *array, size_t n, size_t size)
{
	void *old;

	if (n & (n - 1))
		return true;
	memcpy(&old, array, sizeof(old));
	void *grown = realloc(old, (n ? 2 * n : 1) * size);
	if (grown)
		memcpy(array, &grown, sizeof(grown));
	return grown;
}

/* The number of the page image of a piece among those of these pages; -ENOMEM. */
static int find_file(struct page_reader *r, const struct pagemap_piece *piece)
{
	for (size_t i = r->n_files; i-- > 0;)
		if (r->files[i].depth == piece->depth && r->files[i].id == piece->pages_id)
			return i;
	if (!grow(&r->files, r->n_files, sizeof(*r->files)))
		return -ENOMEM;
	r->files[r->n_files] = (struct plan_page_file){ piece->depth, piece->pages_id };
	return r->n_files++;
}

/* Adds a range behind those that are there. */
static int add_pages(struct page_reader *r, const struct pagemap_piece *piece, uint32_t file)
{
	struct restorer_read *last = r->n_reads ? &r->reads[r->n_reads - 1] : NULL;
	struct restorer_pages *before = r->n_pages ? &r->list[r->n_pages - 1] : NULL;

	if (!grow(&r->reads, r->n_reads, sizeof(*r->reads)) || !grow(&r->list, r->n_pages, sizeof(*r->list)))
		return -ENOMEM;
	last = r->n_reads ? &r->reads[r->n_reads - 1] : NULL;
	before = r->n_pages ? &r->list[r->n_pages - 1] : NULL;
	if (!last || last->file != file || r->next != piece->offset || last->lazy != piece->lazy ||
	    last->away != piece->away) {
		last = &r->reads[r->n_reads++];
		*last = (struct restorer_read){
			.offset = piece->offset, .file = file, .lazy = piece->lazy, .away = piece->away
		};
		before = NULL;
	}
	r->next = piece->offset + (piece->end - piece->start);
	if (before && before->addr + before->len == piece->start) {
		before->len += piece->end - piece->start;
		return 0;
	}
	r->list[r->n_pages++] = (struct restorer_pages){ piece->start, piece->end - piece->start };
	last->count++;
	return 0;
}

static int add_piece(void *arg, const struct pagemap_piece *piece)
{
	struct page_reader *r = arg;
	bool skip = false;

	int file = find_file(r, piece);
	int err = file < 0 ? file : r->check(r->plan, r->arg, piece, &skip);
	return err || skip ? err : add_pages(r, piece, file);
}

/* A copy that the plan owns, which tasks share. */
static void *keep(struct plan *plan, const void *array, size_t size)
{
	void *kept = plan_alloc_fixed(plan, size);

	return kept && size ? memcpy(kept, array, size) : kept;
}

/* Keeps what was found, in memory of the right size. */
static int keep_reads(struct page_reader *r)
{
	struct plan_pages *pages = r->pages;
	struct restorer_pages *list = keep(r->plan, r->list, r->n_pages * sizeof(*list));

	pages->reads = keep(r->plan, r->reads, r->n_reads * sizeof(*r->reads));
	pages->files = keep(r->plan, r->files, r->n_files * sizeof(*r->files));
	if (!list || !pages->reads || !pages->files)
		return -ENOMEM;
	pages->n_reads = r->n_reads;
	pages->n_files = r->n_files;
	for (size_t i = 0; i < r->n_reads; i++) {
		pages->reads[i].pages = list;
		list += pages->reads[i].count;
	}
	return 0;
}

int plan_read_pages(struct plan *plan, enum image_kind kind, uint64_t id, struct plan_pages *pages, page_check *check,
		    void *arg)
{
	struct page_reader r = { .plan = plan, .pages = pages, .check = check, .arg = arg };
	int err = pagemap_walk(&plan->chain, kind, id, add_piece, &r);

	if (!err)
		err = keep_reads(&r);
	free(r.list);
	free(r.reads);
	free(r.files);
	return err;
}
