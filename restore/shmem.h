/* Shared memory: anonymous segments and memfds. */
#ifndef CKPT_RESTORE_SHMEM_H
#define CKPT_RESTORE_SHMEM_H

struct plan;
struct plan_segment;

/* In the owner: makes the segment with its pages and sets its fd. Returns 0 or -errno (logged). */
int shmem_create(struct plan *plan, struct plan_segment *segment);

#endif
