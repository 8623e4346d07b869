/*
 * Makes a chain of incremental images of a plain set: each page stays where it was, or moves to the parent or to the
 * parent's parent, at random; those that stay are at times in the parents too, with other bytes, as pages are that were
 * written since. What is in the images is changed by its bytes: the tool under test is not asked.
 *
 *   img-1/parent -> ../img-1.parent, img-1.parent/parent -> ../img-1.parents-parent
 */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096ul
#define LEVELS 3
#define RUN_MAX 40 /* pages that stay together */
#define HEAD 8 /* magics */

enum { PARENT = 1, LAZY = 2, PRESENT = 4 };
enum { VADDR = 1, COMPAT_PAGES, IN_PARENT, FLAGS, PAGES };

/* A page map that is being written, and its page image. */
struct level {
	char dir[PATH_MAX];
	uint8_t *map;
	size_t len;
	uint8_t *pages;
	size_t n_pages;
	struct {
		uint64_t at, pages, flags;
	} last; /* entry, not written yet */
};

static uint8_t *load(struct run *r, const char *dir, const char *name, size_t *len)
{
	char path[PATH_MAX + 256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	uint8_t *bytes = size >= 0 ? malloc(size + 1) : NULL;

	if (!bytes || pread(fd, bytes, size, 0) != size)
		fail_case(r, "can't read %s: %s", path, strerror(errno));
	close(fd);
	*len = size;
	return bytes;
}

static void store(struct run *r, const char *dir, const char *name, const uint8_t *bytes, size_t len)
{
	char path[PATH_MAX + 256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (ssize_t n; len; bytes += n, len -= n)
		if (fd < 0 || (n = write(fd, bytes, len)) <= 0)
			fail_case(r, "can't write %s: %s", path, strerror(errno));
	close(fd);
}

static uint64_t get_varint(const uint8_t **at, const uint8_t *end)
{
	uint64_t value = 0;

	for (int shift = 0; *at < end; shift += 7) {
		uint8_t byte = *(*at)++;

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			break;
	}
	return value;
}

static size_t put_varint(uint8_t *to, uint64_t value)
{
	size_t n = 0;

	for (; value >= 0x80; value >>= 7)
		to[n++] = value | 0x80;
	to[n++] = value;
	return n;
}

static size_t put_field(uint8_t *to, int field, uint64_t value)
{
	to[0] = field << 3;
	return 1 + put_varint(to + 1, value);
}

/* Writes the last entry of a page map. */
static void flush(struct level *l)
{
	uint8_t entry[64];
	uint32_t n = 0;

	if (!l->last.pages)
		return;
	n += put_field(entry + n, VADDR, l->last.at);
	n += put_field(entry + n, COMPAT_PAGES, l->last.pages);
	if (random() % 2) { /* as before there were flags, or as today */
		n += put_field(entry + n, FLAGS, l->last.flags);
		n += put_field(entry + n, PAGES, l->last.pages);
	} else if (l->last.flags & PARENT) {
		n += put_field(entry + n, IN_PARENT, 1);
	}
	memcpy(l->map + l->len, &n, sizeof(n));
	memcpy(l->map + l->len + sizeof(n), entry, n);
	l->len += sizeof(n) + n;
	l->last.pages = 0;
}

static void add(struct level *l, uint64_t at, uint64_t flags, const uint8_t *page)
{
	if (l->last.pages && (l->last.at + l->last.pages * PAGE != at || l->last.flags != flags))
		flush(l);
	if (!l->last.pages)
		l->last.at = at, l->last.flags = flags;
	l->last.pages++;
	if (page)
		memcpy(l->pages + l->n_pages++ * PAGE, page, PAGE);
}

/* Gives pages that stand at offset in the page image a place in the chain. */
static void spread(struct level levels[LEVELS], uint64_t at, uint64_t pages, uint64_t flags, const uint8_t *bytes)
{
	static const uint8_t stale[PAGE] = { 0x5a };

	while (pages) {
		uint64_t run = 1 + random() % RUN_MAX;
		int where = random() % LEVELS, also = random() % LEVELS;

		run = run < pages ? run : pages;
		for (uint64_t i = 0; i < run; i++, at += PAGE, bytes += PAGE) {
			for (int level = 0; level < where; level++)
				add(&levels[level], at, PARENT, NULL);
			add(&levels[where], at, PRESENT | (flags & LAZY), bytes);
			for (int level = where + 1; level < LEVELS; level++)
				if (level == also)
					add(&levels[level], at, PRESENT, stale);
		}
		pages -= run;
	}
}

static void read_entry(struct run *r, const uint8_t *entry, const uint8_t *end, uint64_t field[PAGES + 1])
{
	memset(field, 0, (PAGES + 1) * sizeof(*field));
	field[FLAGS] = PRESENT;
	while (entry < end) {
		uint64_t tag = get_varint(&entry, end);

		if (tag & 7 || tag >> 3 > PAGES)
			fail_case(r, "a page map has a field %d", (int)(tag >> 3));
		field[tag >> 3] = get_varint(&entry, end);
	}
	if (!field[PAGES])
		field[PAGES] = field[COMPAT_PAGES];
	if (field[IN_PARENT] || field[FLAGS] & PARENT)
		fail_case(r, "the images have a parent already");
}

/* Splits one page map and its page image. */
static void split(struct run *r, struct level levels[LEVELS], const char *name)
{
	size_t len, bytes_len;
	uint8_t *map = load(r, levels[0].dir, name, &len);
	uint32_t size, id = 0;
	char pages[64];
	uint64_t field[PAGES + 1], used = 0;

	memcpy(&size, map + HEAD, sizeof(size));
	const uint8_t *at = map + HEAD + sizeof(size) + 1;
	id = get_varint(&at, map + len);
	snprintf(pages, sizeof(pages), "pages-%u.img", id);
	/* Without pages there may be no page image. */
	char path[PATH_MAX + 80];
	snprintf(path, sizeof(path), "%s/%s", levels[0].dir, pages);
	uint8_t *bytes = access(path, F_OK) ? calloc(1, bytes_len = 1) : load(r, levels[0].dir, pages, &bytes_len);

	for (int i = 0; i < LEVELS; i++) {
		/* An entry may become as many as it has pages. */
		levels[i].map = malloc(len + bytes_len / PAGE * 64 + 64);
		levels[i].pages = malloc(bytes_len + 1);
		levels[i].len = HEAD + sizeof(size) + size;
		levels[i].n_pages = 0;
		memcpy(levels[i].map, map, levels[i].len);
	}
	for (at = map + HEAD + sizeof(size) + size; at + sizeof(size) < map + len; at += size) {
		memcpy(&size, at, sizeof(size));
		at += sizeof(size);
		read_entry(r, at, at + size, field);
		if (!(field[FLAGS] & PRESENT) || (used + field[PAGES]) * PAGE > bytes_len)
			fail_case(r, "%s has pages that are in no image", name);
		spread(levels, field[VADDR], field[PAGES], field[FLAGS], bytes + used * PAGE);
		used += field[PAGES];
	}
	for (int i = 0; i < LEVELS; i++) {
		flush(&levels[i]);
		store(r, levels[i].dir, name, levels[i].map, levels[i].len);
		store(r, levels[i].dir, pages, levels[i].pages, levels[i].n_pages * PAGE);
		free(levels[i].map);
		free(levels[i].pages);
	}
	free(map);
	free(bytes);
}

void make_chain(struct run *r)
{
	static const char *const suffix[LEVELS] = { "", ".parent", ".parents-parent" };
	struct level levels[LEVELS] = { 0 };
	size_t len;

	for (int i = 0; i < LEVELS; i++) {
		snprintf(levels[i].dir, sizeof(levels[i].dir), "%s%s", image_dir(r), suffix[i]);
		make_dirs(levels[i].dir);
	}
	uint8_t *inventory = load(r, levels[0].dir, "inventory.img", &len);
	for (int i = 1; i < LEVELS; i++) {
		char link[PATH_MAX + 16], to[PATH_MAX];

		snprintf(link, sizeof(link), "%s/parent", levels[i - 1].dir);
		snprintf(to, sizeof(to), "..%s", strrchr(levels[i].dir, '/'));
		if (symlink(to, link))
			fail_case(r, "can't make %s: %s", link, strerror(errno));
		store(r, levels[i].dir, "inventory.img", inventory, len);
	}
	free(inventory);
	DIR *dir = opendir(levels[0].dir);
	for (struct dirent *d; dir && (d = readdir(dir));)
		if (!strncmp(d->d_name, "pagemap-", 8))
			split(r, levels, d->d_name);
	if (dir)
		closedir(dir);
}
