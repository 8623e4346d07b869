/*
 * The block of memory that a task works from while its old address space goes and its new one comes: the
 * blob's code, its arguments and stacks, the shared state. Its place is free in both address spaces.
 */
#ifndef CKPT_RESTORE_BLOCK_H
#define CKPT_RESTORE_BLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "restorer_abi.h"

struct plan;
struct plan_task;

struct block {
	uint8_t *start;
	size_t size; /* without the shared state, which lies behind */
	size_t used;
	struct restorer_args *args;
};

/* Maps the block of this task with the code in it and empty arguments. Returns 0 or -errno (logged). */
int block_create(struct plan *plan, struct plan_task *task, struct block *block);
/* Zeroed memory in the block. Returns NULL (logged) when there is no room left. */
void *block_alloc(struct block *block, size_t size);
/* Bytes of it that the seccomp filters of a task take (part_seccomp.c). */
size_t seccomp_room(const struct plan *plan, const struct plan_task *task);
/* The same of the buffers of its rings (part_io_uring.c). */
size_t io_uring_room(const struct plan_task *task);
/* Moves the shared state into the block, makes the code executable and jumps to it. Returns only -errno (logged). */
int block_enter(struct plan *plan, struct plan_task *task, struct block *block);

#endif
