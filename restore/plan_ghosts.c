/*
 * Files without a name: which they are (remap-fpath.img), and what was in them (ghost-file-ID.img). The contents stay
 * in the image until a task makes the file (ghost.c); here is checked what stands where.
 * Files that the dump gave another name (LINKED) are like ghosts that need not be made.
 * Files of processes that are gone (PROCFS) are opened while another process has their number.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "ghost.h"
#include "log.h"
#include "plan.h"

#define OLD_GHOST 0x80000000u /* in remap_id of images without remap_type */
#define SIZE_LIMIT (1ull << 62)

struct chunks {
	struct plan_chunk *list;
	size_t n, room;
};

static int add_chunk(struct chunks *c, uint64_t at, uint64_t offset, uint64_t len)
{
	if (c->n == c->room) {
		size_t room = c->room ? 2 * c->room : 16;
		struct plan_chunk *list = realloc(c->list, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		c->list = list;
		c->room = room;
	}
	c->list[c->n++] = (struct plan_chunk){ at, offset, len };
	return 0;
}

static int read_chunks(struct image_reader *r, struct plan_ghost *g, struct chunks *c)
{
	ProtobufCMessage *m;
	int err = 0;

	while (!err && r->pos < r->len) {
		const uint8_t *bytes;

		err = image_get_as(r, &ghost_chunk_entry__descriptor, &m);
		if (err <= 0)
			return err;
		uint64_t offset = ((GhostChunkEntry *)m)->off, len = ((GhostChunkEntry *)m)->len;
		protobuf_c_message_free_unpacked(m, NULL);
		if (offset > g->size || len > g->size - offset)
			return image_bad(r, "a chunk of %llu bytes at %llu, behind the end of the file",
					 (unsigned long long)len, (unsigned long long)offset);
		uint64_t at = r->pos;
		err = image_get_bytes(r, len, &bytes);
		if (!err)
			err = add_chunk(c, at, offset, len);
	}
	return err;
}

static int read_contents(struct image_reader *r, struct plan_ghost *g, struct chunks *c)
{
	const GhostFileEntry *e = g->entry;

	if (e->has_chunks && e->chunks) {
		g->size = e->size;
		if (!e->has_size || e->size > SIZE_LIMIT)
			return image_bad(r, "chunks without the size of the file, or with one that makes no sense");
		return read_chunks(r, g, c);
	}
	g->size = r->len - r->pos;
	return g->size ? add_chunk(c, r->pos, 0, g->size) : 0;
}

static int keep_chunks(struct plan *plan, struct plan_ghost *g, const struct chunks *c)
{
	g->chunks = plan_alloc_fixed(plan, c->n * sizeof(*c->list));
	if (!g->chunks)
		return -ENOMEM;
	if (c->n)
		memcpy(g->chunks, c->list, c->n * sizeof(*c->list));
	g->n_chunks = c->n;
	return 0;
}

static bool is_ghost_type(uint32_t mode)
{
	return S_ISREG(mode) || S_ISDIR(mode) || S_ISCHR(mode) || S_ISFIFO(mode);
}

static int read_ghost(struct plan *plan, struct plan_ghost *g)
{
	_cleanup_image_ struct image_reader r = {};
	struct chunks c = {};
	ProtobufCMessage *m = NULL;
	int err = image_open(&r, &plan->images, IMG_GHOST_FILE, g->id);

	if (err == -ENOENT) {
		log_err("ghost-file-%x.img, which remap-fpath.img names, is missing: the images are incomplete", g->id);
		return -EBADMSG;
	}
	if (!err)
		err = image_get(&r, &m);
	if (err <= 0)
		return err ? err : image_bad(&r, "empty");
	err = plan_keep(plan, &m);
	if (err)
		return err;
	g->entry = (const GhostFileEntry *)m;
	err = read_contents(&r, g, &c);
	_cleanup_free_ struct plan_chunk *owned = c.list;
	if (!err && !is_ghost_type(g->entry->mode))
		plan_refuse(plan, "ghost-file-%x.img: a deleted file of this type (mode 0%o) is not supported yet",
			    g->id, g->entry->mode);
	return err ? err : keep_chunks(plan, g, &c);
}

static struct plan_ghost *add_ghost(struct plan *plan, uint32_t id)
{
	for (struct plan_ghost *g = plan->ghosts; g; g = g->next)
		if (g->id == id && !g->linked)
			return g;
	struct plan_ghost *g = plan_alloc(plan, sizeof(*g));
	pid_t *helper = plan_alloc_common(plan, sizeof(*helper));
	if (!g || !helper)
		return NULL;
	*g = (struct plan_ghost){ .id = id, .helper = helper, .tmpfile_fd = -1, .next = plan->ghosts };
	if (read_ghost(plan, g))
		return NULL;
	plan->ghosts = g;
	return g;
}

/* A file with a name of the dump's: that takes the place of the contents. NULL: told, or not enough memory. */
static struct plan_ghost *add_linked(struct plan *plan, uint32_t id)
{
	const struct plan_file *link = plan_file_by_id(plan, id);
	const char *path = link && link->entry->reg ? link->entry->reg->name : NULL;
	struct stat st;

	if (!path || lstat(path, &st) || !(S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode))) {
		plan_refuse_here(
			plan,
			"remap-fpath.img: %s, the name that the dump gave a deleted file, is missing: a restore "
			"removes it, so that such images can be restored once",
			path ? path : "?");
		return NULL;
	}
	for (struct plan_ghost *g = plan->ghosts; g; g = g->next)
		if (g->linked && g->id == id)
			return g;
	struct plan_ghost *g = plan_alloc(plan, sizeof(*g));
	pid_t *helper = plan_alloc_common(plan, sizeof(*helper));
	GhostFileEntry *e = plan_alloc(plan, sizeof(*e));
	if (!g || !helper || !e)
		return NULL;
	ghost_file_entry__init(e);
	e->mode = st.st_mode;
	*g = (struct plan_ghost){
		.id = id, .entry = e, .linked = path, .helper = helper, .tmpfile_fd = -1, .next = plan->ghosts
	};
	plan->ghosts = g;
	return g;
}

/* The file will be made where its name was: in the nearest directory that is still there. */
static void check_place(struct plan *plan, const char *path)
{
	char dir[PATH_MAX];
	struct stat st;

	if (strlen(path) >= PATH_MAX - GHOST_SUFFIX || !strcmp(path, "/")) {
		plan_refuse(plan, "the deleted file %s had a name that makes no sense", path);
		return;
	}
	strcpy(dir, path);
	do
		*strrchr(dir, '/') = 0;
	while (*dir && stat(dir, &st) && errno == ENOENT);
	const char *place = *dir ? dir : "/";
	if (stat(place, &st) || !S_ISDIR(st.st_mode))
		plan_refuse_here(plan, "the deleted file %s can't be made again: %s is no directory", path, place);
	else if (access(place, W_OK | X_OK))
		plan_refuse_here(plan, "the deleted file %s can't be made again: %s can't be written (%s)", path, place,
				 strerror(errno));
}

static int add_name(struct plan *plan, struct plan_ghost *g, struct plan_file *file)
{
	const char *path = file->entry->reg->name;
	struct plan_ghost_name *n = g->names;

	while (n && strcmp(n->path, path))
		n = n->next;
	if (!n) {
		n = plan_alloc(plan, sizeof(*n));
		if (!n)
			return -ENOMEM;
		*n = (struct plan_ghost_name){ .ghost = g, .path = path, .fd = -1, .next = g->names };
		g->names = n;
		plan->n_ghost_names++;
		check_place(plan, path);
	}
	file->ghost = n;
	return 0;
}

/* A file of /proc/PID. */
static void read_dead(struct plan *plan, struct plan_file *file, uint32_t pid)
{
	const char *path = file->entry->reg->name;
	char *end;

	if (strncmp(path, "/proc/", 6) || strtoul(path + 6, &end, 10) != pid || (*end && *end != '/') || !pid ||
	    pid > INT32_MAX || !strncmp(end, "/task/", 6) || strstr(end, "/.."))
		plan_refuse(plan, "remap-fpath.img: %s is no file of process %u, which is gone", path, pid);
	else
		file->dead = pid;
}

static int read_remap(struct plan *plan, const RemapFilePathEntry *e)
{
	bool old = !e->has_remap_type && e->remap_id & OLD_GHOST;
	struct plan_file *file = plan_file_by_id(plan, e->orig_id);

	if (!file) {
		plan_refuse(plan, "remap-fpath.img: file 0x%x is not in files.img", e->orig_id);
		return 0;
	}
	bool linked = !old && e->has_remap_type && e->remap_type == REMAP_TYPE__LINKED;
	if (!old && !linked &&
	    (!e->has_remap_type || (e->remap_type != REMAP_TYPE__GHOST && e->remap_type != REMAP_TYPE__PROCFS))) {
		plan_refuse(plan, "remap-fpath.img: file 0x%x was replaced in a way that is not known (%u)", e->orig_id,
			    e->remap_type);
		return 0;
	}
	if (file->entry->type != FD_TYPES__REG || !file->entry->reg) {
		plan_refuse(plan,
			    "remap-fpath.img: file 0x%x was removed while open, and is no regular file: not "
			    "supported yet",
			    e->orig_id);
		return 0;
	}
	if (e->remap_type == REMAP_TYPE__PROCFS && e->has_remap_type) {
		read_dead(plan, file, e->remap_id);
		return 0;
	}
	struct plan_ghost *g = linked ? add_linked(plan, e->remap_id) : add_ghost(plan, e->remap_id & ~OLD_GHOST);
	if (!g)
		return plan->problems ? 0 : -EBADMSG;
	return add_name(plan, g, file);
}

/* CRIU names one file of a process that is gone; there may be more. */
static void spread_dead(struct plan *plan, uint32_t pid)
{
	for (size_t i = 0; i < plan->n_files; i++) {
		const RegFileEntry *e = plan->files[i].entry->reg;

		if (plan->files[i].entry->type == FD_TYPES__REG && e && !strncmp(e->name, "/proc/", 6) &&
		    strtoul(e->name + 6, NULL, 10) == pid && !plan->files[i].dead)
			read_dead(plan, &plan->files[i], pid);
	}
}

int plan_read_remaps(struct plan *plan)
{
	RemapFilePathEntry **entries;
	size_t n;
	int err = plan_read_all(plan, IMG_REMAP_FPATH, 0, &entries, &n);

	if (err)
		return err == -ENOENT ? 0 : err;
	for (size_t i = 0; !err && i < n; i++)
		err = read_remap(plan, entries[i]);
	for (size_t i = 0; !err && i < n; i++)
		if (entries[i]->has_remap_type && entries[i]->remap_type == REMAP_TYPE__PROCFS)
			spread_dead(plan, entries[i]->remap_id);
	return err;
}
