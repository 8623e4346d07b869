/*
 * ckpt verify: is a set of images complete and undamaged? Checksums if there are any; each image by itself; page maps
 * and page images, through all parents; and all that a restore would ask of the set, on any machine. Everything that is
 * wrong is named. Nothing is written.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checksums.h"
#include "cleanup.h"
#include "cmd.h"
#include "format_size.h"
#include "log.h"
#include "opts.h"
#include "page_chain.h"
#include "progress.h"
#include "restore.h"

struct verify {
	const struct opts *opts;
	struct image_dir images;
	struct image_chain chain; /* the directory and its parents */
	struct progress progress;
	size_t files, checked; /* images; directories that have checksums */
	uint64_t bytes, away; /* of the images; of pages that are with a page server */
	bool inventory, tree, tasks; /* inventory.img; pstree.img; images of tasks */
	int err; /* the first; all are logged */
};

static void note(struct verify *v, int err)
{
	v->err = v->err ? v->err : err;
}

static void check_sums(struct verify *v)
{
	struct checksum_work work = { .progress = &v->progress };

	progress_phase(&v->progress, "checksums", 0);
	for (size_t i = 0; i <= v->chain.n_parents; i++) {
		work.pages_only = i;
		int got = checksums_verify(image_chain_dir(&v->chain, i), &work);

		note(v, got < 0 ? got : 0);
		v->checked += got > 0;
	}
}

static int ignore_item(void *arg, const struct image_item *item)
{
	return 0;
}

/* Reads an image from its begin to its end. */
static void check_image(struct verify *v, const char *name)
{
	_cleanup_image_ struct image_reader r = {};
	int err = image_open_path(&r, v->images.fd, name);

	if (!err)
		err = image_walk(&r, ignore_item, NULL);
	note(v, err);
}

static int count_piece(void *arg, const struct pagemap_piece *piece)
{
	struct verify *v = arg;

	v->away += piece->away ? piece->end - piece->start : 0;
	return 0;
}

/* All pages that it promises must be here or in parents; the page image holds these and nothing else. */
static void check_pagemap(struct verify *v, enum image_kind kind, unsigned long id)
{
	int err = pagemap_walk(&v->chain, kind, id, count_piece, v);
	struct pagemap map;
	struct stat st;

	note(v, err);
	if (err || pagemap_read(&map, &v->images, kind, id))
		return;
	_cleanup_close_ int fd = map.bytes ? pagemap_open_pages(&map, &v->images, O_RDONLY) : -1;
	if (fd >= 0 && !fstat(fd, &st) && (uint64_t)st.st_size > map.bytes) {
		log_err("%s/pages-%u.img has %" PRIu64 " bytes more than %s describes", v->images.path, map.pages_id,
			(uint64_t)st.st_size - map.bytes, map.name);
		note(v, -EBADMSG);
	}
	pagemap_free(&map);
}

static bool is_image(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && !strcmp(name + len - 4, ".img");
}

static void look_at(struct verify *v, const char *name)
{
	enum image_kind kind;
	unsigned long id;
	struct stat st;

	if (!fstatat(v->images.fd, name, &st, 0))
		v->bytes += st.st_size;
	v->files++;
	v->inventory |= !strcmp(name, "inventory.img");
	v->tree |= !strcmp(name, "pstree.img");
	v->tasks |= !strncmp(name, "core-", 5) || !strcmp(name, "files.img");
	check_image(v, name);
	if (pagemap_file_id(name, &kind, &id))
		check_pagemap(v, kind, id);
}

static void look_at_all(struct verify *v)
{
	int fd = openat(v->images.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		note(v, log_errno(errno, "can't list %s", v->images.path));
		return;
	}
	for (struct dirent *e; (e = readdir(d));)
		if (is_image(e->d_name))
			look_at(v, e->d_name);
}

/* A set of a pre-dump has memory only, and nobody restores it. */
static void look_at_tree(struct verify *v)
{
	if (!v->inventory) {
		log_err("%s holds no set of images: there is no inventory.img", v->images.path);
		note(v, -ENOENT);
	} else if (v->tree || v->tasks) {
		note(v, restore_verify(v->opts));
	}
}

static void print_result(const struct verify *v)
{
	char size[32];

	printf("%s: %zu images, %s, complete", v->images.path, v->files, format_size(size, sizeof(size), v->bytes));
	if (!v->tree)
		printf(" (memory only, of a pre-dump)");
	if (v->away)
		printf(", but for %s with a page server", format_size(size, sizeof(size), v->away));
	if (v->chain.n_parents)
		printf("; %zu parents", v->chain.n_parents);
	if (v->checked == v->chain.n_parents + 1)
		printf("; all as it was written (checksums)\n");
	else if (v->checked)
		printf("; %zu of %zu directories have checksums\n", v->checked, v->chain.n_parents + 1);
	else
		printf("; there are no checksums: what the pages hold is not known to be right\n");
}

int cmd_verify(const struct opts *opts)
{
	struct verify v = { .opts = opts };
	int err = image_dir_open(&v.images, opts->images_dir);

	if (!err)
		err = image_chain_open(&v.chain, &v.images);
	note(&v, err);
	if (!err) {
		progress_begin(&v.progress, opts);
		check_sums(&v);
		look_at_all(&v);
		look_at_tree(&v);
		progress_end(&v.progress, v.err);
	}
	if (!v.err)
		print_result(&v);
	image_chain_close(&v.chain);
	image_dir_close(&v.images);
	return v.err ? 1 : 0;
}
