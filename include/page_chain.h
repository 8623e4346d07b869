/*
 * Page maps of a set of images and of its parents: which page of a task (pagemap-PID.img) or of shared memory
 * (pagemap-shmem-ID.img) stands where in which pages-N.img.
 *
 * An incremental set has a symlink "parent" to the directory of the dump before. Entries with PE_PARENT are looked up
 * there, in the page map of the same kind and id, and so on.
 */
#ifndef CKPT_PAGE_CHAIN_H
#define CKPT_PAGE_CHAIN_H

#include "image.h"

#define PARENT_LINK "parent"

/* A set and what it was made on top of. */
struct image_chain {
	const struct image_dir *first; /* not owned */
	struct image_dir *parents; /* nearest first */
	size_t n_parents;
};

#define _cleanup_chain_ __attribute__((cleanup(image_chain_close)))

/* Follows the parent links of a directory, which must outlive the chain. Returns 0 or -errno (logged). */
int image_chain_open(struct image_chain *chain, const struct image_dir *first);
void image_chain_close(struct image_chain *chain);
/* The directory itself (0), its parent (1), ... */
const struct image_dir *image_chain_dir(const struct image_chain *chain, size_t depth);

/* An entry of a page map, checked: aligned, in range, above the one before. */
struct pagemap_range {
	uint64_t start, end; /* addresses, or offsets in shared memory */
	uint64_t offset; /* of the first page in the page image, if flags have PE_PRESENT */
	uint32_t flags; /* PE_*; those of images without flags, too */
};

struct pagemap {
	char name[256]; /* for messages */
	uint32_t pages_id;
	size_t n;
	struct pagemap_range *ranges; /* ascending */
	uint64_t bytes; /* that the page image must have */
};

/* Whether a file of the name is a page map: which one. */
bool pagemap_file_id(const char *name, enum image_kind *kind, unsigned long *id);
/* Reads one page map; the page image is not looked at. Returns 0, -ENOENT (not logged) or another -errno (logged). */
int pagemap_read(struct pagemap *map, const struct image_dir *dir, enum image_kind kind, uint64_t id);
void pagemap_free(struct pagemap *map);
/* Finds the first range that ends above at, from *next on, which moves along. Returns NULL: there is none. */
const struct pagemap_range *pagemap_find(const struct pagemap *map, size_t *next, uint64_t at);
/* Opens the page image, which must be as long as the page map says. Returns the descriptor or -errno (logged). */
int pagemap_open_pages(const struct pagemap *map, const struct image_dir *dir, int flags);

/* Pages that follow each other in memory and in one page image, or on a page server. */
struct pagemap_piece {
	uint64_t start, end;
	size_t depth; /* in the chain */
	uint32_t pages_id;
	uint64_t offset;
	bool lazy; /* PE_LAZY: they may be loaded late */
	bool away; /* they are in no image: a page server has them */
};

/*
 * Calls fn for all pages that a page map and those of its parents have, in ascending order, until it returns something
 * else than 0. Returns that, 0, -ENOENT (not logged: there is no such page map) or another -errno (logged): pages that
 * a parent should have and has not, page images that are missing or too short.
 */
int pagemap_walk(const struct image_chain *chain, enum image_kind kind, uint64_t id,
		 int (*fn)(void *arg, const struct pagemap_piece *piece), void *arg);

#endif
