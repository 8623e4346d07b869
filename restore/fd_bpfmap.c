/*
 * BPF maps (man 2 bpf): a map is made and filled by the owner of its descriptors, and frozen if it was. All
 * descriptions of one map are opened together. Numbers of maps are the kernel's choice.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "bpf_map.h"
#include "cleanup.h"
#include "log.h"
#include "plan.h"

#define SIZE_MAX_BYTES (1u << 30)

/* What was in a map. */
struct map_data {
	uint32_t map_id, count, keys_bytes, values_bytes;
	uint8_t *keys, *values;
};

struct maps {
	size_t n;
	struct map_data *list;
};

static int take_bytes(struct plan *plan, struct image_reader *r, uint32_t n, uint8_t **to)
{
	const uint8_t *bytes;
	int err = image_get_bytes(r, n, &bytes);

	if (err)
		return err;
	*to = plan_alloc_fixed(plan, n + 1);
	if (*to)
		memcpy(*to, bytes, n);
	return *to ? 0 : -ENOMEM;
}

static int add_map(struct plan *plan, struct image_reader *r, const void *entry, void *element)
{
	const BpfmapDataEntry *e = entry;
	struct map_data *m = element;

	*m = (struct map_data){ e->map_id, e->count, e->keys_bytes, e->values_bytes };
	int err = take_bytes(plan, r, e->keys_bytes, &m->keys);
	return err ? err : take_bytes(plan, r, e->values_bytes, &m->values);
}

static int bpfmap_begin(struct plan *plan)
{
	struct maps *maps = plan_alloc(plan, sizeof(*maps));

	plan->maps = maps;
	return maps ? plan_read_with_bytes(plan, IMG_BPFMAP_DATA, sizeof(*maps->list), add_map, &maps->list, &maps->n)
		    : -ENOMEM;
}

/* What is wrong with the data of a map. */
static const char *check_data(const BpfmapFileEntry *e, const struct map_data *m)
{
	if (m->count > e->max_entries)
		return "more elements than it can hold";
	if ((uint64_t)m->count * e->key_size != m->keys_bytes || (uint64_t)m->count * e->value_size != m->values_bytes)
		return "keys or values of another size";
	return NULL;
}

static const char *check_entry(const BpfmapFileEntry *e)
{
	if (e->map_type != BPF_MAP_TYPE_ARRAY && e->map_type != BPF_MAP_TYPE_HASH)
		return "only arrays and hash tables are supported";
	if (e->map_flags & ~BPF_MAP_FLAGS || e->ifindex)
		return "its flags are not supported";
	if (!e->key_size || !e->value_size || e->key_size > SIZE_MAX_BYTES || e->value_size > SIZE_MAX_BYTES ||
	    !e->max_entries)
		return "its sizes are out of range";
	if (strlen(e->map_name) >= BPF_OBJ_NAME_LEN)
		return "its name is too long";
	return NULL;
}

static int bpfmap_read(struct plan *plan, struct plan_file *file)
{
	const BpfmapFileEntry *e = file->entry->bpf;
	const struct maps *maps = plan->maps;

	if (!e) {
		log_err("files.img: file 0x%x is of the kind BPFMAP but has no map entry", file->id);
		return -EBADMSG;
	}
	file->flags = e->flags;
	file->fown = e->fown;
	const char *wrong = check_entry(e);
	for (size_t i = 0; i < maps->n && !wrong; i++) {
		if (maps->list[i].map_id != e->map_id)
			continue;
		wrong = check_data(e, &maps->list[i]);
		file->data = &maps->list[i];
	}
	if (wrong)
		plan_refuse(plan, "BPF map 0x%x of file 0x%x: %s", e->map_id, file->id, wrong);
	return 0;
}

static struct plan_file *bpfmap_needs(struct plan *plan, struct plan_file *file)
{
	for (struct plan_file *f = plan->files; f < file; f++)
		if (f->kind == file->kind && f->entry->bpf->map_id == file->entry->bpf->map_id)
			return f;
	return NULL;
}

static int make_map(const BpfmapFileEntry *e)
{
	union bpf_attr attr = { .map_type = e->map_type,
				.key_size = e->key_size,
				.value_size = e->value_size,
				.max_entries = e->max_entries,
				.map_flags = e->map_flags,
				.map_extra = e->has_map_extra ? e->map_extra : 0 };

	strcpy(attr.map_name, e->map_name);
	return bpf_call(BPF_MAP_CREATE, &attr, sizeof(attr));
}

static int fill_map(int fd, const BpfmapFileEntry *e, const struct map_data *m)
{
	union bpf_attr attr = { .map_fd = fd };
	int err = 0;

	if (m && m->count) {
		struct bpf_batch all = { fd, m->keys, m->values, m->count };

		err = bpf_map_write(&all);
		if (!err && all.n != m->count)
			err = -EIO;
	}
	return !err && e->frozen ? bpf_call(BPF_MAP_FREEZE, &attr, sizeof(attr)) : err;
}

/* One more description of a map, for reading or writing only, or both. */
static int open_again(uint32_t id, uint32_t flags)
{
	uint32_t mode = flags & O_ACCMODE;

	return bpf_map_by_id(id, mode == O_RDONLY ? BPF_F_RDONLY : mode == O_WRONLY ? BPF_F_WRONLY : 0);
}

static int bpfmap_open(struct plan *plan, struct plan_file *first)
{
	const BpfmapFileEntry *e = first->entry->bpf;
	struct bpf_map_info info;
	_cleanup_close_ int map = make_map(e);
	int err = map < 0 ? map : fill_map(map, e, first->data);

	if (!err)
		err = bpf_map_info(map, &info);
	if (err < 0)
		return log_errno(-err, "can't make the BPF map \"%s\" (it takes CAP_BPF)", e->map_name);
	for (struct plan_file *f = first; f && !err; f = f->with_next) {
		int fd = open_again(info.id, f->flags);

		err = fd < 0 ? log_errno(-fd, "can't open the BPF map \"%s\" (it takes CAP_SYS_ADMIN)", e->map_name)
			     : fd_take(plan, f, fd);
	}
	return err;
}

const struct restore_fd_kind restore_fd_bpfmap = {
	.name = "BPF map",
	.type = FD_TYPES__BPFMAP,
	.begin = bpfmap_begin,
	.read = bpfmap_read,
	.needs = bpfmap_needs,
	.open = bpfmap_open,
};
