/* Memory that is freed all at once. */
#include "arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"

#define BLOCK_SIZE 16384
#define SHARED_SIZE (1ul << 20) /* of the first block; each mapping makes a fork slower, so the next are larger */
#define HUGE (2ul << 20)
#define LARGE (1ul << 20) /* of a piece that gets huge pages of its own */
#define AHEAD (64ul << 10) /* that many bytes are made at a time, which costs less than a fault for each page */

struct arena_block {
	struct arena_block *next;
	size_t used, size, made; /* bytes of data; made: of all, ahead of use; only of shared ones */
	bool mapped;
	max_align_t data[];
};

/* Whether the kernel gives huge pages to those who ask. */
static bool huge_pages_on_request(void)
{
	_cleanup_fclose_ FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char line[64];

	return f && fgets(line, sizeof(line), f) && !strstr(line, "[never]");
}

/* Private memory in huge pages, or NULL. */
static struct arena_block *map_huge(size_t size)
{
	char *at = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		return NULL;
	size_t before = -(uintptr_t)at % HUGE;
	if (before)
		munmap(at, before);
	munmap(at + before + size, HUGE - before);
	madvise(at + before, size, MADV_HUGEPAGE);
	((struct arena_block *)(at + before))->made = size;
	return (struct arena_block *)(at + before);
}

static struct arena_block *new_private_block(size_t size)
{
	size_t room = sizeof(struct arena_block) + (size > BLOCK_SIZE ? size : BLOCK_SIZE);
	struct arena_block *b = NULL;

	if (size >= LARGE && huge_pages_on_request()) {
		room = (room + HUGE - 1) & ~(HUGE - 1);
		b = map_huge(room);
	}
	if (b)
		b->mapped = true;
	else
		b = calloc(1, room);
	if (b)
		b->size = room - sizeof(*b);
	return b;
}

/* The header is cleared, too. */
static struct arena_block *new_block(const struct arena *a, size_t size)
{
	struct arena_block *b;

	if (!a->shared)
		return new_private_block(size);
	size_t room = a->blocks ? 2 * (a->blocks->size + sizeof(*b)) : SHARED_SIZE;
	while (room < size + sizeof(*b))
		room *= 2;
	if (a->huge && room >= HUGE && huge_pages_on_request()) {
		b = map_huge(room);
	} else {
		b = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		b = b == MAP_FAILED ? NULL : b;
	}
	if (!b)
		return NULL;
	b->size = room - sizeof(*b);
	b->mapped = true;
	return b;
}

/* Only a matter of speed. */
static void make_ahead(struct arena_block *b, size_t size)
{
	size_t all = b->size + sizeof(*b), need = b->used + sizeof(*b);

	if (need <= b->made)
		return;
	size_t end = (need + AHEAD - 1) & ~(AHEAD - 1);
	end = end < all ? end : all;
	/* Who asks for much may not use it all. */
	if (size <= AHEAD)
		madvise((char *)b + b->made, end - b->made, MADV_POPULATE_WRITE);
	b->made = end;
}

void *arena_get(struct arena *a, size_t size)
{
	struct arena_block *b = a->blocks;

	size = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
	if (!b || b->size - b->used < size) {
		b = new_block(a, size);
		if (!b)
			return NULL;
		b->next = a->blocks;
		a->blocks = b;
	}
	b->used += size;
	if (a->shared)
		make_ahead(b, size);
	return (char *)b->data + b->used - size;
}

char *arena_strdup(struct arena *a, const char *s)
{
	size_t size = strlen(s) + 1;
	char *copy = arena_get(a, size);

	return copy ? memcpy(copy, s, size) : NULL;
}

void arena_free(struct arena *a)
{
	for (struct arena_block *b = take_ptr(a->blocks), *next; b; b = next) {
		next = b->next;
		if (b->mapped)
			munmap(b, b->size + sizeof(*b));
		else
			free(b);
	}
}
