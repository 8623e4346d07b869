/*
 * Rings of io_uring(7): the system calls, which libc does not have, and what user and kernel share of a ring, mapped
 * into this process. Any descriptor of a ring will do, also one that was fetched from another process.
 */
#ifndef CKPT_IO_URING_MAP_H
#define CKPT_IO_URING_MAP_H

#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IO_URING_LINK "anon_inode:[io_uring]" /* what /proc calls descriptors and areas of it */
#define IO_URING_SQ_MAX 32768 /* entries that the kernel gives at most: powers of two */
#define IO_URING_CQ_MAX 65536
/* Numbers in sq_off and cq_off of struct io_uring_params, which follow each other. */
#define URING_OFFSETS ((sizeof(struct io_sqring_offsets) + sizeof(struct io_cqring_offsets)) / sizeof(uint32_t))

struct uring {
	struct io_uring_params p; /* sizes and offsets */
	uint8_t *rings, *sqes; /* both rings in one mapping, and the entries that are submitted */
	size_t rings_size, sqes_size; /* bytes */
};

/* Each returns what the call does, or -errno (not logged). */
int uring_setup(uint32_t entries, struct io_uring_params *p);
int uring_enter(int fd, uint32_t submit, uint32_t flags, const void *arg, size_t size);
int uring_register(int fd, uint32_t opcode, const void *arg, uint32_t n);

/* Sizes follow from u->p. */
void uring_sizes(struct uring *u);
int uring_map(int fd, struct uring *u);
void uring_unmap(struct uring *u);
/* A counter in the mapped rings, by one of the offsets of u->p. */
uint32_t *uring_at(const struct uring *u, uint32_t offset);

#endif
