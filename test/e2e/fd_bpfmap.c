/*
 * BPF maps: arrays and hash tables, large and small, empty, frozen, with names; opened for reading or writing only, and
 * twice, shared with a child.
 */
#include "e2e.h"

#include <linux/bpf.h>

struct map {
	int fd;
	uint32_t type, key_size, value_size, entries, flags;
	const char *name;
	uint32_t used; /* how many there are in it */
};

static struct map maps[] = {
	{ -1, BPF_MAP_TYPE_ARRAY, 4, 5, 7, BPF_F_MMAPABLE, "array", 7 },
	{ -1, BPF_MAP_TYPE_ARRAY, 4, 400, 10000, 0, "", 10000 },
	{ -1, BPF_MAP_TYPE_HASH, 4, 8, 50000, 0, "hash_of_words", 30000 },
	{ -1, BPF_MAP_TYPE_HASH, 13, 3, 40, BPF_F_NO_PREALLOC | BPF_F_WRONLY_PROG, "abcdefghijklmno", 5 },
	{ -1, BPF_MAP_TYPE_HASH, 2, 1, 1, BPF_F_NUMA_NODE, "empty", 0 },
	{ -1, BPF_MAP_TYPE_HASH, 1, 1, 300, BPF_F_ZERO_SEED, "full", 256 },
};
#define MAPS (sizeof(maps) / sizeof(maps[0]))

static long call(int command, union bpf_attr attr)
{
	return syscall(SYS_bpf, command, &attr, sizeof(attr));
}

static void *key_of(const struct map *m, uint32_t n)
{
	static uint8_t key[16];

	memset(key, 0, sizeof(key));
	memcpy(key, &n, m->key_size < 4 ? m->key_size : 4);
	return key;
}

static void *value_of(const struct map *m, uint32_t n)
{
	static uint8_t value[400];

	memset(value, n * 7 + m->type, sizeof(value));
	return value;
}

static long update(const struct map *m, int fd, uint32_t n)
{
	return call(BPF_MAP_UPDATE_ELEM,
		    (union bpf_attr){ .map_fd = fd, .key = (uint64_t)key_of(m, n), .value = (uint64_t)value_of(m, n) });
}

static void make(struct map *m)
{
	union bpf_attr attr = { .map_type = m->type,
				.key_size = m->key_size,
				.value_size = m->value_size,
				.max_entries = m->entries,
				.map_flags = m->flags };

	strcpy(attr.map_name, m->name);
	m->fd = call(BPF_MAP_CREATE, attr);
	if (m->fd < 0)
		skip("no BPF maps: %s", strerror(errno));
	for (uint32_t i = 0; i < m->used; i++)
		must(!update(m, m->fd, i));
}

static bool has(const struct map *m, int fd, uint32_t n)
{
	uint8_t value[400];

	return !call(BPF_MAP_LOOKUP_ELEM,
		     (union bpf_attr){ .map_fd = fd, .key = (uint64_t)key_of(m, n), .value = (uint64_t)value }) &&
	       !memcmp(value, value_of(m, n), m->value_size);
}

static struct bpf_map_info info_of(int fd)
{
	struct bpf_map_info info = { 0 };

	must(!call(BPF_OBJ_GET_INFO_BY_FD,
		   (union bpf_attr){ .info = { .bpf_fd = fd, .info_len = sizeof(info), .info = (uint64_t)&info } }));
	return info;
}

static void check(const struct map *m)
{
	struct bpf_map_info info = info_of(m->fd);

	same(info.type, m->type);
	same(info.key_size, m->key_size);
	same(info.value_size, m->value_size);
	same(info.max_entries, m->entries);
	same(info.map_flags, m->flags);
	must(!strcmp(info.name, m->name));
	for (uint32_t i = 0; i < m->used; i++)
		must(has(m, m->fd, i));
	must(m->used == m->entries || m->used == 256 || !has(m, m->fd, m->used));
}

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	for (size_t i = 0; i < MAPS; i++)
		check(&maps[i]);
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	for (size_t i = 0; i < MAPS; i++)
		make(&maps[i]);
	must(!call(BPF_MAP_FREEZE, (union bpf_attr){ .map_fd = maps[1].fd }));
	pid_t pid = e2e_fork(child, NULL);
	uint32_t id = info_of(maps[0].fd).id;
	int reader = call(BPF_MAP_GET_FD_BY_ID, (union bpf_attr){ .map_id = id, .open_flags = BPF_F_RDONLY });
	int writer = call(BPF_MAP_GET_FD_BY_ID, (union bpf_attr){ .map_id = id, .open_flags = BPF_F_WRONLY });
	must(reader >= 0 && writer >= 0);

	e2e_wait();

	e2e_join(pid);
	for (size_t i = 0; i < MAPS; i++)
		check(&maps[i]);
	must(update(&maps[1], maps[1].fd, 3) && errno == EPERM);
	must(!update(&maps[4], maps[4].fd, 3) && has(&maps[4], maps[4].fd, 3));
	must(update(&maps[0], reader, 1) && errno == EPERM);
	must(!has(&maps[0], writer, 1));
	maps[0].type++; /* other values */
	must(!update(&maps[0], writer, 1));
	must(has(&maps[0], reader, 1) && has(&maps[0], maps[0].fd, 1));
	return 0;
}
