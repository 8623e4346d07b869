/* The daemon of a lazy restore: gives pages to tasks that miss them, and the rest to those that do not yet. */
#ifndef CKPT_LAZY_DAEMON_H
#define CKPT_LAZY_DAEMON_H

#include "page_chain.h"

struct lazy_options {
	const struct image_chain *chain; /* the images */
	int restore; /* the connection to the restore */
	int page_server; /* pages come from there; -1: from the images */
};

/* Serves until all pages have come or nobody wants them. Returns 0 or -errno (logged): then the tree is killed. */
int lazy_daemon_run(const struct lazy_options *options);

#endif
