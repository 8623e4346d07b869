/* Shared memory: anonymous segments and memfds. */
#ifndef CKPT_RESTORE_SHMEM_H
#define CKPT_RESTORE_SHMEM_H

#include <stdint.h>

struct plan;
struct plan_segment;

/* In the owner: makes the segment with its pages and sets its fd. Returns 0 or -errno (logged). */
int shmem_create(struct plan *plan, struct plan_segment *segment);

/* Reads the pages of the segment, which is mapped at base. Returns 0 or -errno (logged). */
int shmem_fill(struct plan *plan, const struct plan_segment *segment, uint8_t *base);

#endif
