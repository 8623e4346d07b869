/*
 * The part of the restorer blob that makes contexts of asynchronous I/O (io_setup(2)). Included by restorer.c behind
 * what it uses of that.
 *
 * A context's tail is the kernel's own: it moves by completed requests only. So it gets as many as it had, reads of
 * nothing from /dev/null, which complete at once. Those before the head are taken out again.
 */
#ifndef CKPT_RESTORER_AIO_H
#define CKPT_RESTORER_AIO_H

#include <linux/aio_abi.h>

#include "aio_ring_abi.h"

#define AIO_BATCH 16

static void complete_requests(struct restorer_args *args, const struct restorer_ring *r, uint64_t context, uint32_t n)
{
	struct iocb request = { .aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = args->null_fd };
	struct iocb *list[AIO_BATCH];

	for (int i = 0; i < AIO_BATCH; i++)
		list[i] = &request;
	while (n) {
		long done = sys(io_submit, context, n < AIO_BATCH ? n : AIO_BATCH, list);

		must(args, STEP_AIO, r->start, done ? done : -11 /* EAGAIN */);
		n -= done;
	}
}

static void make_ring(struct restorer_args *args, const struct restorer_ring *r)
{
	const struct aio_ring *old = (const void *)r->start; /* loaded as plain memory */
	uint64_t context = 0;

	must(args, STEP_AIO, r->start, sys(io_setup, r->requests, &context));
	struct aio_ring *ring = (void *)context;
	if (ring->nr != old->nr || old->head >= old->nr || old->tail >= old->nr || ring->magic != old->magic)
		fail(args, STEP_AIO, r->start, 22 /* EINVAL */);
	for (uint32_t left = old->head, n; left; left -= n) {
		n = left < AIO_BATCH ? left : AIO_BATCH;
		complete_requests(args, r, context, n);
		__atomic_store_n(&ring->head, ring->tail, __ATOMIC_SEQ_CST);
	}
	complete_requests(args, r, context, (old->tail + old->nr - old->head) % old->nr);
	memcpy(ring + 1, old + 1, r->len - sizeof(*ring));
	must(args, STEP_AIO, r->start, sys(mremap, context, r->len, r->len, MREMAP_MAYMOVE | MREMAP_FIXED, r->start));
}

static void make_rings(struct restorer_args *args)
{
	for (uint64_t i = 0; i < args->n_rings; i++)
		make_ring(args, &args->rings[i]);
	if (args->null_fd >= 0)
		must(args, STEP_CLOSE, args->null_fd, sys(close, args->null_fd));
}

#endif
