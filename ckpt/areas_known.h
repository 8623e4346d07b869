/* How areas are asked for by a BPF iterator, and what is known of its answers from areas of our own. */
#ifndef CKPT_AREAS_KNOWN_H
#define CKPT_AREAS_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf_iter.h"
#include "vma_bits.h"

/* What the iterator tells of an area. */
struct area_record {
	uint64_t start, end, bits;
	uint64_t context; /* of its task: flags of the memory map that the architecture keeps */
	bool own; /* its pages are known to nobody but the task: no process that shares them by fork */
	bool named; /* it has a file, operations, or a name given by the program */
};
struct area_records {
	struct area_record *r; /* owned */
	size_t n;
};

struct areas {
	bool usable;
	struct bpf_iter it;
	struct vma_bits bits;
	bool names; /* the iterator tells who has one, and the kernel tells that one when asked */
	uint64_t context; /* of ours */
	struct vma vsyscall; /* the area that belongs to no task, as we have it; end 0: nobody has it */
};

/* Loads the iterator and learns from areas of ours. Returns 0 or -errno (not logged). */
int areas_known_begin(struct areas *a, const struct bpf_types *types);
/* For bpf_iter_read(): adds to struct area_records. */
int area_record_add(void *records, const uint64_t *values);

#endif
