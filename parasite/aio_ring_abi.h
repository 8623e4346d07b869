/* What lies in an area "/[aio]", which no header of the kernel tells: fs/aio.c. */
#ifndef CKPT_AIO_RING_ABI_H
#define CKPT_AIO_RING_ABI_H

#include <stdint.h>

#define AIO_RING_MAGIC 0xa10a10a1u
#define AIO_EVENT 32 /* bytes of struct io_event */

struct aio_ring {
	uint32_t id; /* the kernel's own number of the context */
	uint32_t nr; /* events that fit */
	uint32_t head; /* the next to be taken, by the user or by io_getevents(2) */
	uint32_t tail; /* behind the last; the kernel has a copy that counts */
	uint32_t magic, compat_features, incompat_features, header_length;
};

#endif
