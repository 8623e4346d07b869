/* What the registry of files knows of inodes (files.c). */
#ifndef CKPT_INODE_TABLE_H
#define CKPT_INODE_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct dump_file;

struct inode {
	uint64_t ino;
	dev_t dev;
	unsigned int modes; /* bit N: a file has it open with O_ACCMODE N */
	struct dump_file *first; /* of all its files; NULL: this place is free */
};

/* A hash table with open addressing. Starts as zeros; the list is its owner's to free. */
struct inode_table {
	struct inode *list; /* size, a power of two: at most half of them are in use */
	size_t size, used;
};

/* Makes the inode of the file known, and how it is open. Returns 0 or -ENOMEM. */
int inode_table_add(struct inode_table *table, struct dump_file *f);
/* NULL: it is not known. */
const struct inode *inode_table_find(const struct inode_table *table, dev_t dev, uint64_t ino);

#endif
