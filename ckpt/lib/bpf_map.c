/* The calls of bpf(2) for maps. */
#include "bpf_map.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int bpf_call(int command, union bpf_attr *attr, size_t size)
{
	long ret = syscall(SYS_bpf, command, attr, size);

	return ret < 0 ? -errno : ret;
}

int bpf_map_by_id(uint32_t id, uint32_t flags)
{
	union bpf_attr attr = { .map_id = id };

	attr.open_flags = flags;
	return bpf_call(BPF_MAP_GET_FD_BY_ID, &attr, sizeof(attr));
}

int bpf_map_info(int fd, struct bpf_map_info *info)
{
	union bpf_attr attr = { .info = { .bpf_fd = fd, .info_len = sizeof(*info), .info = (uint64_t)info } };

	*info = (struct bpf_map_info){};
	return bpf_call(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr));
}

static int batch(int command, struct bpf_batch *b, const void *at, void *next)
{
	union bpf_attr attr = { .batch = { .in_batch = (uint64_t)at,
					   .out_batch = (uint64_t)next,
					   .keys = (uint64_t)b->keys,
					   .values = (uint64_t)b->values,
					   .count = b->n,
					   .map_fd = b->fd } };
	int err = bpf_call(command, &attr, sizeof(attr));

	b->n = attr.batch.count;
	return err;
}

int bpf_map_read(struct bpf_batch *b, const void *at, void *next)
{
	return batch(BPF_MAP_LOOKUP_BATCH, b, at, next);
}

int bpf_map_write(struct bpf_batch *b)
{
	return batch(BPF_MAP_UPDATE_BATCH, b, NULL, NULL);
}
