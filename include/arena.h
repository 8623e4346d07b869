/* Memory that is freed all at once: what the messages of one image point to. */
#ifndef CKPT_ARENA_H
#define CKPT_ARENA_H

#include <stdbool.h>
#include <stddef.h>

/*
 * A large piece gets huge pages of its own, if the kernel gives some.
 * shared: what it gives is shared with processes that are forked afterwards, so that fork does not copy its page
 * tables. Only the process that it was made in may get memory from it, and write there.
 * huge: the same where it grows large, but in huge pages if the kernel gives some: they are made in a tenth of the
 * time, and have no page tables to speak of. They are private: what is written after a fork only the writer sees.
 */
struct arena {
	struct arena_block *blocks;
	bool shared, huge;
};

/* Zeroed memory that lives until arena_free, or NULL. */
void *arena_get(struct arena *a, size_t size);
/* A copy of the string, or NULL. */
char *arena_strdup(struct arena *a, const char *s);
/* Frees all; the arena can be used again. */
void arena_free(struct arena *a);

#define _cleanup_arena_ __attribute__((cleanup(arena_free)))

#endif
