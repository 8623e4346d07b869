/* Inodes that the tree has open, by their numbers. */
#include "inode_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "dump.h"

/* Its place in the table, or the free one that it would get. */
static struct inode *place(const struct inode_table *table, dev_t dev, uint64_t ino)
{
	for (size_t at = ino * 0x9e3779b97f4a7c15ull >> 20 & (table->size - 1);; at = (at + 1) & (table->size - 1)) {
		struct inode *i = &table->list[at];

		if (!i->first || (i->ino == ino && i->dev == dev))
			return i;
	}
}

static int grow(struct inode_table *table)
{
	struct inode_table larger = { .size = table->size ? 2 * table->size : 64, .used = table->used };

	larger.list = calloc(larger.size, sizeof(*larger.list));
	if (!larger.list)
		return -ENOMEM;
	for (size_t i = 0; i < table->size; i++)
		if (table->list[i].first)
			*place(&larger, table->list[i].dev, table->list[i].ino) = table->list[i];
	free(table->list);
	*table = larger;
	return 0;
}

int inode_table_add(struct inode_table *table, struct dump_file *f)
{
	if (2 * table->used >= table->size && grow(table))
		return -ENOMEM;
	struct inode *i = place(table, f->st.st_dev, f->st.st_ino);
	if (!i->first) {
		*i = (struct inode){ f->st.st_ino, f->st.st_dev, 0, f };
		table->used++;
	}
	i->modes |= 1u << (f->flags & O_ACCMODE);
	return 0;
}

const struct inode *inode_table_find(const struct inode_table *table, dev_t dev, uint64_t ino)
{
	const struct inode *i = table->size ? place(table, dev, ino) : NULL;

	return i && i->first ? i : NULL;
}
