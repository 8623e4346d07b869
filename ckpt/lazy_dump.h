/* A dump that leaves memory where it is (--lazy-pages): a restore elsewhere asks for it, while the tree stands still.
 */
#ifndef CKPT_LAZY_DUMP_H
#define CKPT_LAZY_DUMP_H

#include "dump.h"

struct lazy_dump {
	int listener; /* -1: all memory is in the images */
	bool connected; /* it is the connection itself */
};

/* Listens, if the options ask for it, before anything is stopped. Returns 0 or -errno (logged). */
int lazy_dump_begin(struct lazy_dump *l, const struct opts *opts);
/*
 * The images are complete but for the memory: says so at --status-fd, waits for whoever restores them, and gives the
 * memory out until that has all of it. Returns 0 or -errno (logged): then the images are none any more, and the tree
 * goes on.
 */
int lazy_dump_serve(struct lazy_dump *l, struct dump *d);
void lazy_dump_end(struct lazy_dump *l);

#endif
