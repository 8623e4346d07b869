/* Memory that is freed all at once. */
#include "arena.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

#define BLOCK_SIZE 16384

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	max_align_t data[];
};

void *arena_get(struct arena *a, size_t size)
{
	struct arena_block *b = a->blocks;

	size = (size + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
	if (!b || b->size - b->used < size) {
		size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;

		b = calloc(1, sizeof(*b) + room);
		if (!b)
			return NULL;
		b->size = room;
		b->next = a->blocks;
		a->blocks = b;
	}
	b->used += size;
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
		free(b);
	}
}
