/*
 * Contexts of asynchronous I/O (io_setup(2)): each is an area "/[aio]" whose address is its name, and whose pages are
 * a ring of events that user and kernel share. The pages go into the image like private ones, what the kernel has
 * beside them (size, tail) can be told from the ring.
 *
 * Not seen: requests in flight, which no interface shows. Their events would be missing after a restore.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aio_ring_abi.h"
#include "cleanup.h"
#include "dump.h"
#include "log.h"
#include "mm.pb-c.h"

bool aio_is_ring(const struct vma *v)
{
	return !strncmp(v->name, "/[aio]", 6);
}

static bool is_whole(const struct aio_ring *ring, const struct vma *v)
{
	return ring->magic == AIO_RING_MAGIC && ring->header_length == sizeof(*ring) &&
	       ring->nr == (v->end - v->start - sizeof(*ring)) / AIO_EVENT && ring->head < ring->nr &&
	       ring->tail < ring->nr;
}

/* Says what is wrong with what lies in the area. */
static int add_ring(struct dump_task *t, const struct vma *v, int mem)
{
	struct aio_ring ring;

	if (pread(mem, &ring, sizeof(ring), v->start) != sizeof(ring))
		return log_errno(errno, "can't read the memory of task %d at %#lx", t->pid, v->start);
	if (v->pgoff || !is_whole(&ring, v))
		return blocker_add(t->dump, t->pid, "AIO ring", "it was cut or overwritten",
				   "dump the program when it has destroyed the context (io_destroy)", "area %lx-%lx",
				   v->start, v->end);
	t->rings[t->n_rings++] = (struct aio_context){ v->start, v->end - v->start, ring.nr / 2 - 1 };
	return 0;
}

static int collect(struct dump_task *t)
{
	_cleanup_close_ int mem = -1;
	size_t n = 0;
	int err = 0;

	for (size_t i = 0; i < t->vmas.n; i++)
		n += aio_is_ring(&t->vmas.v[i]);
	if (!n)
		return 0;
	t->rings = calloc(n, sizeof(*t->rings));
	mem = openat(t->proc, "mem", O_RDONLY | O_CLOEXEC);
	if (!t->rings || mem < 0)
		return log_errno(t->rings ? errno : ENOMEM, "can't look at the AIO contexts of task %d", t->pid);
	for (size_t i = 0; i < t->vmas.n && !err; i++)
		if (aio_is_ring(&t->vmas.v[i]))
			err = add_ring(t, &t->vmas.v[i], mem);
	return err;
}

/* A child has the areas of its parent, but not the contexts. */
static int collect_inside(struct dump_task *t)
{
	int err = 0;

	for (size_t i = 0; i < t->n_rings && !err; i++) {
		struct aio_context *c = &t->rings[i];

		err = parasite_check_aio(&t->parasite, c->id, &c->alive);
	}
	return err;
}

static int judge_inside(struct dump_task *t)
{
	int err = 0;

	for (size_t i = 0; i < t->n_rings && !err; i++) {
		const struct aio_context *c = &t->rings[i];

		if (!c->alive)
			err = blocker_add(t->dump, t->pid, "AIO ring",
					  "it belongs to another process, from which this one was forked",
					  "have the child unmap it, or fork before io_setup(2)", "area %lx-%lx", c->id,
					  c->id + c->len);
	}
	if (t->n_rings && !err)
		log_info("task %d has %zu AIO contexts: requests in flight can't be seen", t->pid, t->n_rings);
	return err;
}

int aio_fill(const struct dump_task *t, MmEntry *mm, struct arena *arena)
{
	AioRingEntry *e = arena_get(arena, t->n_rings * sizeof(*e) + 1);

	mm->aios = arena_get(arena, t->n_rings * sizeof(*mm->aios) + 1);
	if (!e || !mm->aios)
		return -ENOMEM;
	for (size_t i = 0; i < t->n_rings; i++) {
		aio_ring_entry__init(&e[i]);
		e[i].id = t->rings[i].id;
		e[i].nr_req = t->rings[i].requests;
		e[i].ring_len = t->rings[i].len;
		mm->aios[mm->n_aios++] = &e[i];
	}
	return 0;
}

const struct dump_part dump_part_aio = {
	.name = "aio",
	.collect = collect,
	.collect_inside = collect_inside,
	.judge_inside = judge_inside,
};
