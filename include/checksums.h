/*
 * Checksums of a set of images (checksums.img): XXH3-128 of each file, in pieces of 64 MiB so that threads can share
 * the work. They find what happened by accident: cut copies, bad disks and networks. They do not stop anybody who wants
 * to change images and writes new checksums.
 */
#ifndef CKPT_CHECKSUMS_H
#define CKPT_CHECKSUMS_H

#include "image.h"

struct progress;

/* How a set is looked at. */
struct checksum_work {
	struct progress *progress; /* NULL: nobody asks */
	int (*stop)(void); /* looked at often: ends the work when it is not 0. NULL: nobody does */
	bool pages_only; /* page maps and page images: all that a set takes from its parents */
};

/*
 * Adds checksums.img to what was written since image_dir_begin(), with the checksums of all of that but statistics.
 * Returns 0 or -errno (logged).
 */
int checksums_write(const struct image_dir *dir, const struct checksum_work *work);
/*
 * Compares a set that has its final names with its checksums. Returns 1: all is as it was written, 0: there are no
 * checksums; -EBADMSG (all that is wrong is logged), or another -errno (logged). Page images that lost pages
 * (DEDUP_MARK) are left out.
 */
int checksums_verify(const struct image_dir *dir, const struct checksum_work *work);

#endif
