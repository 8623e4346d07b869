/*
 * Page maps, and the chain of directories that an incremental dump leaves. Bytes are not trusted: a page that the
 * images promise and do not have is an error, never a page of zeros.
 */
#include "page_chain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "image_consts.h"
#include "image_messages.h"
#include "log.h"
#include "packed.h"

#define SPACE_END (1ul << 47)
#define DEPTH_MAX 4096 /* a chain takes a descriptor for each directory */

const struct image_dir *image_chain_dir(const struct image_chain *chain, size_t depth)
{
	return depth ? &chain->parents[depth - 1] : chain->first;
}

void image_chain_close(struct image_chain *chain)
{
	while (chain->n_parents)
		image_dir_close(&chain->parents[--chain->n_parents]);
	free(take_ptr(chain->parents));
}

/* Whether the directory is in the chain already. Returns -errno (logged) when it cannot be looked at. */
static int is_in_chain(const struct image_chain *chain, int fd)
{
	struct stat st, other;

	if (fstat(fd, &st))
		return log_errno(errno, "can't look at a parent of %s", chain->first->path);
	for (size_t i = 0; i <= chain->n_parents; i++)
		if (!fstat(image_chain_dir(chain, i)->fd, &other) && other.st_dev == st.st_dev &&
		    other.st_ino == st.st_ino)
			return 1;
	return 0;
}

/* Adds the parent of the last directory. Returns 1, 0 when it has none, or -errno (logged). */
static int add_parent(struct image_chain *chain)
{
	const struct image_dir *last = image_chain_dir(chain, chain->n_parents);
	_cleanup_close_ int fd = openat(last->fd, PARENT_LINK, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 && errno == ENOENT && fstatat(last->fd, PARENT_LINK, &st, AT_SYMLINK_NOFOLLOW))
		return 0;
	if (fd < 0)
		return log_errno(errno, "can't open %s/" PARENT_LINK ", on which these images build", last->path);
	int known = is_in_chain(chain, fd);
	if (known < 0)
		return known;
	if (known) {
		log_err("%s/" PARENT_LINK " leads back to images that build on it", last->path);
		return -ELOOP;
	}
	if (chain->n_parents == DEPTH_MAX) {
		log_err("%s builds on more than %d sets of images", chain->first->path, DEPTH_MAX);
		return -ELOOP;
	}
	_cleanup_free_ char *path = NULL;
	if (asprintf(&path, "%s/" PARENT_LINK, last->path) < 0)
		return log_errno(ENOMEM, "can't open %s/" PARENT_LINK, last->path);
	struct image_dir *grown = realloc(chain->parents, (chain->n_parents + 1) * sizeof(*grown));
	if (!grown)
		return log_errno(ENOMEM, "can't open %s", path);
	chain->parents = grown;
	grown[chain->n_parents++] = (struct image_dir){ take_fd(&fd), -1, take_ptr(path) };
	return 1;
}

int image_chain_open(struct image_chain *chain, const struct image_dir *first)
{
	int more;

	*chain = (struct image_chain){ .first = first };
	while ((more = add_parent(chain)) > 0)
		;
	return more;
}

/* Fills in where the entry lies. Returns whether it is well formed. */
static bool set_range(struct pagemap_range *r, const PagemapEntry *e)
{
	uint64_t pages = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages;
	bool in_parent = e->has_in_parent && e->in_parent;

	if (e->vaddr % IMAGE_PAGE_SIZE || e->vaddr >= SPACE_END || !pages ||
	    pages > (SPACE_END - e->vaddr) / IMAGE_PAGE_SIZE)
		return false;
	r->start = e->vaddr;
	r->end = e->vaddr + pages * IMAGE_PAGE_SIZE;
	r->flags = e->has_flags ? e->flags | (in_parent ? PE_PARENT : 0) : in_parent ? PE_PARENT : PE_PRESENT;
	return true;
}

static int add_range(struct pagemap *map, const struct image_reader *r, const PagemapEntry *e)
{
	uint64_t end = map->n ? map->ranges[map->n - 1].end : 0;

	if (!(map->n & (map->n - 1))) {
		struct pagemap_range *grown = realloc(map->ranges, (map->n ? 2 * map->n : 1) * sizeof(*grown));

		if (!grown)
			return log_errno(ENOMEM, "no memory for %s", r->name);
		map->ranges = grown;
	}
	struct pagemap_range *range = &map->ranges[map->n];
	if (!set_range(range, e) || range->start < end)
		return image_bad(r, "pages at 0x%llx are not aligned, out of range or not ascending",
				 (unsigned long long)e->vaddr);
	if (range->flags & PE_PRESENT && range->flags & PE_PARENT)
		return image_bad(r, "pages at 0x%llx are both here and in the parent", (unsigned long long)e->vaddr);
	range->offset = map->bytes;
	if (range->flags & PE_PRESENT)
		map->bytes += range->end - range->start;
	map->n++;
	return 0;
}

static int read_entries(struct pagemap *map, struct image_reader *r)
{
	ProtobufCMessage *m;
	int err = image_get(r, &m);

	if (err <= 0)
		return err ? err : image_bad(r, "empty");
	map->pages_id = ((PagemapHead *)m)->pages_id;
	protobuf_c_message_free_unpacked(m, NULL);
	while ((err = image_get(r, &m)) > 0) {
		err = add_range(map, r, (PagemapEntry *)m);
		protobuf_c_message_free_unpacked(m, NULL);
		if (err)
			return err;
	}
	return err;
}

bool pagemap_file_id(const char *name, enum image_kind *kind, unsigned long *id)
{
	static const enum image_kind kinds[] = { IMG_PAGEMAP, IMG_SHMEM_PAGEMAP };
	static const char *const before[] = { "pagemap-", "pagemap-shmem-" };

	for (size_t i = 0; i < 2; i++) {
		char same[64], *end;
		size_t len = strlen(before[i]);

		if (strncmp(name, before[i], len) || name[len] < '0' || name[len] > '9')
			continue;
		*id = strtoul(name + len, &end, 10);
		*kind = kinds[i];
		if (!strcmp(name, image_name(same, sizeof(same), *kind, *id)))
			return true;
	}
	return false;
}

int pagemap_read(struct pagemap *map, const struct image_dir *dir, enum image_kind kind, uint64_t id)
{
	_cleanup_image_ struct image_reader r = {};

	*map = (struct pagemap){};
	int err = image_open(&r, dir, kind, id);
	if (err)
		return err;
	snprintf(map->name, sizeof(map->name), "%s", r.name);
	err = read_entries(map, &r);
	if (err)
		pagemap_free(map);
	return err;
}

void pagemap_free(struct pagemap *map)
{
	free(take_ptr(map->ranges));
	map->n = 0;
}

const struct pagemap_range *pagemap_find(const struct pagemap *map, size_t *next, uint64_t at)
{
	while (*next < map->n && map->ranges[*next].end <= at)
		++*next;
	return *next < map->n ? &map->ranges[*next] : NULL;
}

static int check_size(const struct pagemap *map, const struct image_dir *dir, uint64_t size)
{
	if (size >= map->bytes)
		return 0;
	log_err("%s/pages-%u.img is %llu bytes long, but %s says that it holds %llu: the images are incomplete",
		dir->path, map->pages_id, (unsigned long long)size, map->name, (unsigned long long)map->bytes);
	return -EBADMSG;
}

int pagemap_open_pages(const struct pagemap *map, const struct image_dir *dir, int flags)
{
	struct stat st;
	char name[64];

	image_name(name, sizeof(name), IMG_PAGES, map->pages_id);
	_cleanup_close_ int fd = openat(dir->fd, name, flags | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && packed_is(dir, map->pages_id)) {
		fd = packed_open(dir, map->pages_id);
		if (fd < 0)
			return fd;
	}
	if (fd < 0 && errno == ENOENT) {
		log_err("%s/%s, which %s refers to, is missing: the images are incomplete", dir->path, name, map->name);
		return -EBADMSG;
	}
	if (fd < 0 || fstat(fd, &st))
		return log_errno(errno, "can't open %s/%s", dir->path, name);
	int err = check_size(map, dir, st.st_size);
	return err ? err : take_fd(&fd);
}

/* The page map of one directory of the chain, read when it is needed. */
struct level {
	struct pagemap map;
	size_t next;
	bool loaded;
};

struct walk {
	const struct image_chain *chain;
	enum image_kind kind;
	uint64_t id;
	struct level *levels;
	int (*fn)(void *arg, const struct pagemap_piece *piece);
	void *arg;
};

static int load_level(struct walk *w, size_t depth)
{
	struct level *level = &w->levels[depth];

	if (level->loaded)
		return 0;
	const struct image_dir *dir = image_chain_dir(w->chain, depth);
	int err = pagemap_read(&level->map, dir, w->kind, w->id);
	if (err)
		return err;
	level->loaded = true;
	if (!level->map.bytes)
		return 0;
	if (packed_is(dir, level->map.pages_id)) { /* not decompressed for this */
		uint64_t bytes;

		err = packed_size(dir, level->map.pages_id, &bytes);
		return err ? err : check_size(&level->map, dir, bytes);
	}
	_cleanup_close_ int fd = pagemap_open_pages(&level->map, dir, O_RDONLY);
	return fd < 0 ? fd : 0;
}

/* What the images in the parent lack. */
static int missing(const struct walk *w, size_t depth, uint64_t at)
{
	char name[64];

	image_name(name, sizeof(name), w->kind, w->id);
	if (depth > w->chain->n_parents)
		log_err("%s/%s says that the page 0x%llx is in the parent, but there is no " PARENT_LINK
			" link to its directory: the images are incomplete",
			image_chain_dir(w->chain, depth - 1)->path, name, (unsigned long long)at);
	else
		log_err("%s/%s has no page 0x%llx, which the images that build on it need: the images are incomplete",
			image_chain_dir(w->chain, depth)->path, name, (unsigned long long)at);
	return -EBADMSG;
}

/* Pages from start to end of one entry, all present in the directory or on a page server. */
static int give(const struct walk *w, size_t depth, const struct pagemap_range *r, uint64_t start, uint64_t end)
{
	const struct pagemap_piece piece = {
		.start = start,
		.end = end,
		.depth = depth,
		.pages_id = w->levels[depth].map.pages_id,
		.offset = r->offset + (start - r->start),
		.lazy = r->flags & PE_LAZY,
		.away = !(r->flags & PE_PRESENT),
	};

	return w->fn(w->arg, &piece);
}

/* All pages from start to end must be in this parent or further up: looked up one directory after the other. */
static int walk_parent(struct walk *w, size_t depth, uint64_t start, uint64_t end)
{
	while (start < end) {
		const struct pagemap_range *r = NULL;
		uint64_t stop = end;
		size_t d = depth;

		for (;; d++) {
			int err = d <= w->chain->n_parents ? load_level(w, d) : -ENOENT;

			if (err)
				return err == -ENOENT ? missing(w, d, start) : err;
			r = pagemap_find(&w->levels[d].map, &w->levels[d].next, start);
			if (!r || r->start > start || !(r->flags & (PE_PRESENT | PE_LAZY | PE_PARENT)))
				return missing(w, d, start);
			stop = r->end < stop ? r->end : stop;
			if (!(r->flags & PE_PARENT))
				break;
		}
		int err = give(w, d, r, start, stop);
		if (err)
			return err;
		start = stop;
	}
	return 0;
}

static int walk_first(struct walk *w)
{
	int err = load_level(w, 0);
	const struct pagemap *map = &w->levels[0].map;

	for (size_t i = 0; !err && i < map->n; i++) {
		const struct pagemap_range *r = &map->ranges[i];

		if (r->flags & PE_PARENT)
			err = walk_parent(w, 1, r->start, r->end);
		else if (r->flags & (PE_PRESENT | PE_LAZY))
			err = give(w, 0, r, r->start, r->end);
	}
	return err;
}

int pagemap_walk(const struct image_chain *chain, enum image_kind kind, uint64_t id,
		 int (*fn)(void *arg, const struct pagemap_piece *piece), void *arg)
{
	struct walk w = { .chain = chain, .kind = kind, .id = id, .fn = fn, .arg = arg };

	w.levels = calloc(chain->n_parents + 1, sizeof(*w.levels));
	if (!w.levels)
		return log_errno(ENOMEM, "no memory for page maps");
	int err = walk_first(&w);
	for (size_t i = 0; i <= chain->n_parents; i++)
		pagemap_free(&w.levels[i].map);
	free(w.levels);
	return err;
}
