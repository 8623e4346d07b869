/* What ckpt show knows of a directory of images. */
#ifndef CKPT_SHOW_DIR_H
#define CKPT_SHOW_DIR_H

#include "format_size.h"
#include "image.h"
#include "image_messages.h"
#include "show.h"

/* Entries of one image; all owned. */
struct entries {
	ProtobufCMessage **message;
	size_t count;
};

struct dir_task {
	const PstreeEntry *tree;
	uint32_t state, exit_code;
	char comm[64];
	uint32_t files_id; /* 0: none known */
	long parent, first_child, next_sibling; /* places in tasks; -1: none */
};

struct dir_info {
	struct image_dir dir;
	InventoryEntry *inventory;
	struct entries pstree;
	struct dir_task *tasks; /* pstree.count of them */
	int err; /* the first -errno: something in it is broken */
};

/*
 * Reads all entries of an image. One that is not there has none; a broken one has those before the damage, and
 * is noted in info->err.
 */
void read_entries(struct dir_info *info, enum image_kind kind, unsigned long id, struct entries *entries);
void free_entries(struct entries *entries);

#define _cleanup_entries_ __attribute__((cleanup(free_entries)))

/* Where pages stand that are not in the directory itself; nothing without parents. */
void show_parents(struct show_out *out, struct dir_info *info);
void show_memory(struct show_out *out, struct dir_info *info);
void show_files(struct show_out *out, struct dir_info *info);

#endif
