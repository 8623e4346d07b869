/* Arrays that grow by one element at a time. */
#ifndef CKPT_ARRAY_H
#define CKPT_ARRAY_H

#include <errno.h>
#include <stdlib.h>

/*
 * Makes room for one more element behind the n that *array, a pointer to such, has. Its room is the next power of two:
 * it must have grown here from the first one on. Returns 0, or -ENOMEM when all is as before.
 */
static inline int array_grow(void *array, size_t n, size_t size)
{
	void **at = array;

	if (n & (n - 1))
		return 0;
	void *larger = realloc(*at, (n ? 2 * n : 1) * size);

	if (!larger)
		return -ENOMEM;
	*at = larger;
	return 0;
}

#endif
