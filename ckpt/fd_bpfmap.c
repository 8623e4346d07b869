/*
 * BPF maps (man 2 bpf), arrays and hash tables: what they are is in fdinfo, the name is told by the kernel, keys and
 * values go into bpfmap-data.img, behind an entry for each map.
 *
 * Does not handle (judged): other types of maps; maps with a description of their types (BTF), of a device, mapped into
 * memory. Not seen: whether others have the map too, programs in the kernel or processes outside the tree, or whether
 * it has a name in a file system: the restored one is another one, with the contents of the dump.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf_map.h"
#include "bpfmap-data.pb-c.h"
#include "bpfmap-file.pb-c.h"
#include "cleanup.h"
#include "dump.h"
#include "log.h"
#include "proc_fdinfo.h"

#define BATCH 4096 /* elements that are read at a time */
#define DATA_MAX (1ul << 29) /* bytes of keys, or of values */

struct map {
	struct fdinfo_bpfmap info;
	struct bpf_map_info more;
};

static bool match(const struct fd_info *info)
{
	return !strcmp(info->link, "anon_inode:bpf-map");
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct map *m = calloc(1, sizeof(*m));

	f->data = m;
	if (!m)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	int err = fdinfo_parse_bpfmap(info->text, &m->info);
	if (err)
		return log_errno(-err, "fdinfo of %s of task %d, a BPF map", f->where, f->pid);
	err = bpf_map_info(info->fd, &m->more);
	return err < 0 ? log_errno(-err, "can't ask for the name of the BPF map of %s of task %d", f->where, f->pid)
		       : 0;
}

static int judge_map(struct dump *d, const struct dump_file *f)
{
	const struct map *m = f->data;
	char reason[96];

	if (m->info.type != BPF_MAP_TYPE_ARRAY && m->info.type != BPF_MAP_TYPE_HASH)
		snprintf(reason, sizeof(reason), "its type is %u: only arrays and hash tables are supported",
			 m->info.type);
	else if (m->more.btf_id)
		snprintf(reason, sizeof(reason), "it has a description of its types (BTF), which is not supported yet");
	else if (m->more.ifindex)
		snprintf(reason, sizeof(reason), "it belongs to a network device");
	else if (m->info.flags & ~BPF_MAP_FLAGS)
		snprintf(reason, sizeof(reason), "its flags are not supported yet (%#x)", m->info.flags);
	else if ((uint64_t)m->info.value_size * m->info.max_entries > DATA_MAX && m->info.type == BPF_MAP_TYPE_ARRAY)
		snprintf(reason, sizeof(reason), "it holds more than %lu bytes", DATA_MAX);
	else
		return 0;
	return blocker_add(d, f->pid, "BPF map", reason, "have the program close it before the dump", "%s", f->where);
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	const struct map *m = f->data;
	BpfmapFileEntry *to = arena_get(arena, sizeof(*to));

	if (!to)
		return -ENOMEM;
	bpfmap_file_entry__init(to);
	to->id = f->id;
	to->flags = f->flags;
	to->pos = f->pos;
	to->fown = (FownEntry *)&f->fown;
	to->map_type = m->info.type;
	to->key_size = m->info.key_size;
	to->value_size = m->info.value_size;
	to->map_id = m->info.id;
	to->max_entries = m->info.max_entries;
	to->map_flags = m->info.flags;
	to->memlock = m->info.memlock;
	to->frozen = m->info.frozen;
	to->map_name = arena_strdup(arena, m->more.name);
	to->has_map_extra = true;
	to->map_extra = m->info.extra;
	e->bpf = to;
	return to->map_name ? 0 : -ENOMEM;
}

/* All that is in a map: keys and values are the caller's to free. */
struct contents {
	char *keys, *values;
	uint64_t n, room;
};

static int make_room(struct contents *c, const struct fdinfo_bpfmap *m, uint64_t room)
{
	uint64_t most = m->key_size > m->value_size ? m->key_size : m->value_size;

	if (room <= c->room)
		return 0;
	if (room > DATA_MAX / (most ? most : 1))
		return -EFBIG;
	char *keys = realloc(c->keys, room * m->key_size + 1);
	c->keys = keys ? keys : c->keys;
	char *values = realloc(c->values, room * m->value_size + 1);
	c->values = values ? values : c->values;
	c->room = room;
	return keys && values ? 0 : -ENOMEM;
}

static int read_map(int fd, const struct fdinfo_bpfmap *m, struct contents *c)
{
	_cleanup_free_ void *place = calloc(1, m->key_size + sizeof(uint64_t));
	uint64_t batch = m->max_entries < BATCH ? m->max_entries : BATCH;
	bool begun = false;
	int err = place ? 0 : -ENOMEM;

	while (!err) {
		err = make_room(c, m, c->n + batch);
		if (err)
			break;
		struct bpf_batch b = { fd, c->keys + c->n * m->key_size, c->values + c->n * m->value_size, batch };
		err = bpf_map_read(&b, begun ? place : NULL, place);
		if (err == -ENOSPC && batch <= m->max_entries) { /* so many have the same hash */
			batch *= 2;
			err = 0;
			continue;
		}
		begun = true;
		c->n += !err || err == -ENOENT ? b.n : 0;
	}
	return err == -ENOENT ? 0 : err;
}

static int put_map(struct image_writer *w, const struct fdinfo_bpfmap *m, const struct contents *c)
{
	BpfmapDataEntry e = BPFMAP_DATA_ENTRY__INIT;

	e.map_id = m->id;
	e.count = c->n;
	e.keys_bytes = c->n * m->key_size;
	e.values_bytes = c->n * m->value_size;
	image_put(w, &e.base);
	image_put_bytes(w, c->keys, e.keys_bytes);
	image_put_bytes(w, c->values, e.values_bytes);
	return 0;
}

/* Their descriptor may not be one to read from; another one takes CAP_SYS_ADMIN. */
static int get_readable(const struct dump *d, const struct dump_file *f)
{
	const struct map *m = f->data;
	int fd = bpf_map_by_id(m->info.id, BPF_F_RDONLY);

	return fd == -EPERM && (f->flags & O_ACCMODE) != O_WRONLY ? files_get(d, f) : fd;
}

static int write_map(struct dump *d, struct image_writer *w, const struct dump_file *f)
{
	const struct map *m = f->data;
	struct contents c = {};

	_cleanup_close_ int fd = get_readable(d, f);
	int err = fd < 0 ? fd : read_map(fd, &m->info, &c);
	if (!err)
		err = put_map(w, &m->info, &c);
	free(c.keys);
	free(c.values);
	return err ? log_errno(-err, "can't read the BPF map of %s of task %d%s", f->where, f->pid,
			       err == -EFBIG ? ", which is too large" : "")
		   : 0;
}

static bool is_first(const struct dump *d, const struct dump_file *f)
{
	const struct map *m = f->data;

	for (const struct dump_file *o = NULL; (o = files_next_of(d, &dump_fd_bpfmap, o)) != f;)
		if (((const struct map *)o->data)->info.id == m->info.id)
			return false;
	return true;
}

static int write_maps(struct dump *d)
{
	struct image_writer w;
	bool any = false;
	int err = 0;

	for (const struct dump_file *f = NULL; !err && (f = files_next_of(d, &dump_fd_bpfmap, f));) {
		if (!is_first(d, f))
			continue;
		if (!any)
			image_create(&w, &d->images, IMG_BPFMAP_DATA, 0);
		any = true;
		err = write_map(d, &w, f);
	}
	int closed = any ? image_close(&w) : 0;
	return err ? err : closed;
}

const struct dump_fd_kind dump_fd_bpfmap = {
	.name = "BPF map",
	.type = FD_TYPES__BPFMAP,
	.match = match,
	.collect = collect,
	.judge = judge_map,
	.fill = fill,
	.write = write_maps,
};
