/* BPF maps (man 2 bpf): the calls that read and make them. They return what the call does, or -errno (not logged). */
#ifndef CKPT_BPF_MAP_H
#define CKPT_BPF_MAP_H

#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>

/* Flags of maps that are dumped: what else the kernel knows is said of maps that have a description of types, or more.
 */
#define BPF_MAP_FLAGS                                                                                                  \
	(BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_ZERO_SEED | BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG |               \
	 BPF_F_MMAPABLE | BPF_F_PRESERVE_ELEMS)

int bpf_call(int command, union bpf_attr *attr, size_t size);
/* A descriptor of the map with the number; flags: 0, BPF_F_RDONLY or BPF_F_WRONLY. */
int bpf_map_by_id(uint32_t id, uint32_t flags);
int bpf_map_info(int fd, struct bpf_map_info *info);
/* Elements of a map, one behind the other. */
struct bpf_batch {
	int fd;
	void *keys, *values;
	uint32_t n;
};
/*
 * Reads at most b->n elements and sets that. at: NULL, or where the call before said that the next one begins.
 * -ENOENT: these were the last; -ENOSPC: more have to be read at once.
 */
int bpf_map_read(struct bpf_batch *b, const void *at, void *next);
int bpf_map_write(struct bpf_batch *b);

#endif
