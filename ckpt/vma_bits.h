/*
 * What the bits of the kernel's vm_flags mean for us. They are its own business, not told by its types, and differ from
 * kernel to kernel. So they are learned from areas of which both is known, the bits and what smaps says of them.
 */
#ifndef CKPT_VMA_BITS_H
#define CKPT_VMA_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proc.h"

#define VMA_BITS_KNOWN 160 /* areas at most to learn from */
#define VMA_BITS_ANSWERS 8

struct vma_bits {
	size_t n;
	struct {
		uint64_t bits, effects;
	} known[VMA_BITS_KNOWN];
	uint64_t may[64]; /* what each bit may stand for: all areas that have it have these effects */
	struct {
		uint64_t bits, effects;
	} answers[VMA_BITS_ANSWERS]; /* the last ones: areas are alike */
	size_t n_answers;
};

void vma_bits_begin(struct vma_bits *b);
/* Learns from an area with these bits, of which smaps was read. */
void vma_bits_learn(struct vma_bits *b, uint64_t bits, const struct vma *v);
/*
 * Sets protection, flags and page size of an area, as smaps would have. Returns false when they do not follow from what
 * was learned, or smaps tells more of such an area.
 */
bool vma_bits_apply(struct vma_bits *b, uint64_t bits, struct vma *v);

#endif
