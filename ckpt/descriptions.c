/* Which descriptors lead to the same open file description. */
#include "descriptions.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"

/* Total order of open file descriptions: by inode, then as the kernel orders them. */
static int compare(const void *a, const void *b)
{
	const struct dump_file *x = a, *y = b;

	LESS_MORE(x->st.st_ino, y->st.st_ino);
	LESS_MORE(x->st.st_dev, y->st.st_dev);
	LESS_MORE(x->eventfd_id, y->eventfd_id); /* they have one inode for all */
	if (x->member == y->member && x->number == y->number)
		return 0;
	long order = syscall(SYS_kcmp, x->member, y->member, KCMP_FILE, x->number, y->number);
	if (order == 0 || order == 1)
		return -order;
	if (order == 2)
		return 1;
	LESS_MORE(x->member, y->member);
	LESS_MORE(x->number, y->number);
	return 0;
}

/* Its place in the table, or the free one that it would get. */
static struct dump_file **place(const struct descriptions *all, uint64_t address)
{
	for (size_t at = address * 0x9e3779b97f4a7c15ull >> 20 & (all->size - 1);; at = (at + 1) & (all->size - 1))
		if (!all->table[at] || all->table[at]->address == address)
			return &all->table[at];
}

static int grow(struct descriptions *all)
{
	struct descriptions larger = { .size = all->size ? 2 * all->size : 64, .used = all->used };

	larger.table = calloc(larger.size, sizeof(struct dump_file *));
	if (!larger.table)
		return -ENOMEM;
	for (size_t i = 0; i < all->size; i++)
		if (all->table[i])
			*place(&larger, all->table[i]->address) = all->table[i];
	free(all->table);
	*all = larger;
	return 0;
}

/* One comes whose address is not known. */
static int put_in_order(struct descriptions *all)
{
	for (size_t i = 0; i < all->size; i++)
		if (all->table[i] && !tsearch(all->table[i], &all->tree, compare))
			return -ENOMEM;
	all->ordered = true;
	return 0;
}

struct dump_file *descriptions_find(struct descriptions *all, const struct dump_file *probe)
{
	errno = 0;
	if (!all->ordered && probe->address)
		return all->size ? *place(all, probe->address) : NULL;
	if (!all->ordered && put_in_order(all)) {
		errno = ENOMEM;
		return NULL;
	}
	struct dump_file **known = tfind(probe, &all->tree, compare);
	return known ? *known : NULL;
}

int descriptions_add(struct descriptions *all, struct dump_file *f)
{
	if (all->ordered)
		return tsearch(f, &all->tree, compare) ? 0 : -ENOMEM;
	if (2 * all->used >= all->size && grow(all))
		return -ENOMEM;
	*place(all, f->address) = f;
	all->used++;
	return 0;
}

static void free_nothing(void *node)
{
}

void descriptions_free(struct descriptions *all)
{
	tdestroy(all->tree, free_nothing);
	free(take_ptr(all->table));
	*all = (struct descriptions){};
}
