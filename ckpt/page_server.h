/* The server's side of a connection over which pages come or go (page_protocol.h). */
#ifndef CKPT_PAGE_SERVER_H
#define CKPT_PAGE_SERVER_H

#include "image.h"

/* Where the pages come from that clients ask for. */
struct page_source {
	/* Fills buf with pages of a task. Returns 0 or -errno (logged). */
	int (*read)(struct page_source *source, uint64_t pid, uint64_t vaddr, uint64_t pages, void *buf);
};

struct page_server {
	int sock;
	struct image_dir *images; /* that pages are written into */
	struct page_source *source; /* if it gives pages, instead of taking them; NULL: it takes */
	int (*stop)(void); /* asked while it waits: -errno (logged) ends it; NULL: nobody is asked */
	bool auto_dedup; /* cut what came out of the parents */
};

/*
 * Serves one connection until the client has said that all is done. Pages that came are in page maps and page images
 * then; else none are. Returns 0 or -errno (logged).
 */
int page_server_run(const struct page_server *server);

#endif
