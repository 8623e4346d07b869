/*
 * The tiny runtime of the blobs: what they need of a C library.
 *
 * Compiled hosted (unit tests), the C library serves and only the system calls are ours.
 */
#ifndef CKPT_RUNTIME_H
#define CKPT_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#include "raw_syscall.h"

#if __STDC_HOSTED__
#include <string.h>
#else
static inline void *memcpy(void *to, const void *from, size_t len)
{
	void *ret = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
	return ret;
}

static inline void *memset(void *to, int byte, size_t len)
{
	void *ret = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(len) : "a"(byte) : "memory");
	return ret;
}

static inline int memcmp(const void *a, const void *b, size_t len)
{
	const uint8_t *x = a, *y = b;

	for (; len && *x == *y; x++, y++)
		len--;
	return len ? *x - *y : 0;
}
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* The kernel's struct sigaction for rt_sigaction(2); libc's differs. */
struct kernel_sigaction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

#endif
