/* Where pages come from that somebody asks a page server for, or that a page server is asked for. */
#ifndef CKPT_PAGE_SOURCE_H
#define CKPT_PAGE_SOURCE_H

#include "page_chain.h"
#include "page_server.h"

struct opts;

/* Asks a page server for pages of a task. Returns 0 or -errno (logged). */
int page_source_ask(int sock, uint64_t pid, uint64_t vaddr, uint64_t pages, void *buf);
/* Tells it that all is done, and hears that it knows. Returns 0 or -errno (logged). */
int page_source_end(int sock);

/* Pages of a set of images and its parents. */
struct image_source {
	struct page_source source; /* the first member */
	const struct image_chain *chain;
	struct image_pages *tasks; /* those that were asked for */
};

void image_source_init(struct image_source *s, const struct image_chain *chain);
void image_source_free(struct image_source *s);

#endif
