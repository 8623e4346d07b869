/*
 * Bits of vm_flags, by inference: smaps prints a flag when a certain bit is set, whatever the others are. So a bit does
 * not stand for a flag that any area with it lacks, and an area with a flag has the bit that stands for it. A bit that
 * was never seen may stand for anything.
 */
#include "vma_bits.h"

#include <string.h>

/* Flags of a struct vma, behind the 32 of madvise(2), as one number. */
#define GROWS_DOWN (1ull << 32)
#define IO (1ull << 33)
#define LOCKED (1ull << 34)
#define NORESERVE (1ull << 35)
#define MAY_WRITE (1ull << 36)
#define DROPPABLE (1ull << 37)
#define UFFD (1ull << 38)
#define LOCK_ON_FAULT (1ull << 39)
#define SHARED (1ull << 40)
#define PROT_SHIFT 41 /* three bits */
#define NEEDS_SMAPS (1ull << 44) /* the size of a huge page, the number of a protection key */

static uint64_t effects_of(const struct vma *v)
{
	return v->madv | (v->grows_down ? GROWS_DOWN : 0) | (v->io ? IO : 0) | (v->locked ? LOCKED : 0) |
	       (v->noreserve ? NORESERVE : 0) | (v->may_write ? MAY_WRITE : 0) | (v->droppable ? DROPPABLE : 0) |
	       (v->uffd ? UFFD : 0) | (v->lock_on_fault ? LOCK_ON_FAULT : 0) | (v->shared ? SHARED : 0) |
	       (uint64_t)(v->prot & 7) << PROT_SHIFT | (v->hugetlb || v->protection_key ? NEEDS_SMAPS : 0);
}

static void set_effects(struct vma *v, uint64_t effects)
{
	v->madv = effects;
	v->grows_down = effects & GROWS_DOWN;
	v->io = effects & IO;
	v->locked = effects & LOCKED;
	v->noreserve = effects & NORESERVE;
	v->may_write = effects & MAY_WRITE;
	v->droppable = effects & DROPPABLE;
	v->uffd = effects & UFFD;
	v->lock_on_fault = effects & LOCK_ON_FAULT;
	v->shared = effects & SHARED;
	v->prot = effects >> PROT_SHIFT & 7;
	v->page_size = 4096;
}

void vma_bits_begin(struct vma_bits *b)
{
	memset(b, 0, sizeof(*b));
	memset(b->may, 0xff, sizeof(b->may));
}

void vma_bits_learn(struct vma_bits *b, uint64_t bits, const struct vma *v)
{
	uint64_t effects = effects_of(v);

	if (b->n == VMA_BITS_KNOWN)
		return;
	b->known[b->n].bits = bits;
	b->known[b->n++].effects = effects;
	for (int i = 0; i < 64; i++)
		if (bits >> i & 1)
			b->may[i] &= effects;
	b->n_answers = 0;
}

/* What any of the bits may stand for. */
static uint64_t may(const struct vma_bits *b, uint64_t bits)
{
	uint64_t effects = 0;

	for (; bits; bits &= bits - 1)
		effects |= b->may[__builtin_ctzll(bits)];
	return effects;
}

/* An effect of a known area comes from one of its bits: if none that may be it is missing here, it is here, too. */
static uint64_t must(const struct vma_bits *b, uint64_t bits)
{
	uint64_t effects = 0;

	for (size_t i = 0; i < b->n; i++)
		effects |= b->known[i].effects & ~may(b, b->known[i].bits & ~bits);
	return effects;
}

/* Returns false when it cannot be told. */
static bool tell(struct vma_bits *b, uint64_t bits, uint64_t *effects)
{
	for (size_t i = 0; i < VMA_BITS_ANSWERS && i < b->n_answers; i++) {
		if (b->answers[i].bits == bits) {
			*effects = b->answers[i].effects;
			return true;
		}
	}
	*effects = may(b, bits);
	if (*effects & NEEDS_SMAPS || *effects != must(b, bits))
		return false;
	size_t oldest = b->n_answers++ % VMA_BITS_ANSWERS;
	b->answers[oldest].bits = bits;
	b->answers[oldest].effects = *effects;
	return true;
}

bool vma_bits_apply(struct vma_bits *b, uint64_t bits, struct vma *v)
{
	uint64_t effects;
	bool told = tell(b, bits, &effects);

	if (told)
		set_effects(v, effects);
	return told;
}
