/*
 * Compressed page images (--compress): pages-packed-N.img instead of pages-N.img.
 *
 * The file is a row of frames of LZ4 or Zstandard, each of 256 KiB of pages, and behind them the seek table that
 * Zstandard's seekable format has, as a frame that decoders skip. So `lz4 -d` or `zstd -d` makes the page image of it,
 * and any frame can be found and decompressed by itself. Frames carry checksums of what is in them.
 */
#ifndef CKPT_PACKED_H
#define CKPT_PACKED_H

#include "image.h"

struct progress;

enum packing {
	PACK_NOT,
	PACK_LZ4,
	PACK_ZSTD,
};

struct pack_work {
	struct progress *progress; /* NULL: nobody asks */
	int (*stop)(void); /* looked at often: ends the work when it is not 0. NULL: nobody does */
};

/* Compresses all page images that were written since image_dir_begin(). Returns 0 or -errno (logged). */
int packed_make(const struct image_dir *dir, enum packing how, const struct pack_work *work);

/* Whether the page image is there in this form only. */
bool packed_is(const struct image_dir *dir, unsigned long id);
/* Bytes of the pages in it. Returns 0, -ENOENT (not logged) or another -errno (logged). */
int packed_size(const struct image_dir *dir, unsigned long id, uint64_t *bytes);
/*
 * Opens the page image: from unpacked (below), or decompressed into memory. Returns the descriptor, -ENOENT (not
 * logged) or another -errno (logged).
 */
int packed_open(const struct image_dir *dir, unsigned long id);
/*
 * Decompresses all page images of a directory into memory (a tmpfs that nobody else sees, dir->unpacked), where all who
 * are forked find them. Nothing happens when there are none. Needs CAP_SYS_ADMIN. Returns 0 or -errno (logged).
 */
int packed_unpack(struct image_dir *dir, const struct pack_work *work);

#endif
