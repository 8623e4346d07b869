/* A dump's connection to a page server (--page-server): page maps and page images go there instead of staying here. */
#ifndef CKPT_PAGE_XFER_H
#define CKPT_PAGE_XFER_H

#include "image.h"

struct opts;
struct progress;

struct page_xfer {
	int sock; /* -1: pages stay here */
	struct progress *progress; /* NULL: nobody asks */
};

/* Connects, if the options ask for it: before anything is stopped. Returns 0 or -errno (logged). */
int page_xfer_begin(struct page_xfer *x, const struct opts *opts);
/*
 * Whether the parent of the server's images has pages of a task or segment: only then may pages of it be left out
 * (PE_PARENT). Returns 1, 0 or -errno (logged).
 */
int page_xfer_has_parent(struct page_xfer *x, enum image_kind kind, uint64_t id);
/*
 * Sends a page map that is complete, and the pages that it names, from where a dump writes, and removes both there.
 * Returns 0 or -errno (logged).
 */
int page_xfer_send(struct page_xfer *x, const struct image_dir *dir, enum image_kind kind, uint64_t id);
/*
 * Sends all page maps that are there, and hears from the server that all is in its images. Nothing is done without a
 * connection. Returns 0 or -errno (logged).
 */
int page_xfer_finish(struct page_xfer *x, const struct image_dir *dir);
void page_xfer_close(struct page_xfer *x);

#endif
