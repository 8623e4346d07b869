/*
 * Where the way home of a thread can lie: on its own stack, or in a slot on the main stack when its stack pointer may
 * point into a small stack among other data.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>

#include "compat.h"
#include "remote.h"
#include "remote_place.h"

#define RED_ZONE 128 /* bytes below the stack pointer that belong to the function that runs (x86-64 psABI) */
#define SLOT_SEARCH 65536 /* bytes of the main stack in which slots that were left behind are looked for */
#define SLOT_MAX 65536 /* bytes that none has */

/* Begins a slot, so that the next dump knows one that was left behind. What follows is aligned to 64 bytes. */
struct slot_head {
	char magic[24];
	uint64_t size; /* bytes */
	uint8_t unused[32];
};
static const char slot_magic[24] = "ckpt: borrowed stack";

/* Whether the area right below has no access: what lies above is a stack with its guard. */
static bool has_guard(const struct vma_list *vmas, const struct vma *v)
{
	const struct vma *below = v > vmas->v ? v - 1 : NULL;

	return below && below->end == v->start && !below->prot;
}

/*
 * Whether all below the stack pointer is free, down to the start of the area: in an area that grows down, and in
 * stacks of thread libraries, which have the thread's block (man 2 arch_prctl: ARCH_GET_FS) at their upper end. The
 * block begins with a pointer to itself. Elsewhere something else may lie right below a small stack: Go and
 * coroutines have theirs in the heap, alternate signal stacks may be anywhere.
 */
static bool is_own_stack(const struct remote *r, const struct remote_space *space, const struct vma *v)
{
	bool compat = regs_compat(&r->regs);
	uint64_t block = compat ? r->regs.gs_base : r->regs.fs_base, itself = 0;

	if (!v || v->shared || !(v->prot & PROT_WRITE) || !(v->prot & PROT_READ) || v->io || v->start >= 1ul << 47)
		return false;
	if (v->grows_down)
		return true;
	if (space->main_thread || block <= r->regs.rsp || block >= v->end)
		return false;
	return has_guard(space->vmas, v) || (!tracee_read(r->tid, block, &itself, compat ? 4 : 8) && itself == block);
}

/* Makes a stack reach down to the address: unlike process_vm_writev, this lets it grow as its own access would. */
static bool grow_stack(const struct remote *r, uint64_t address)
{
	return !ptrace(PTRACE_POKEDATA, r->tid, address, 0);
}

static const uint8_t zeros[SIGFRAME_MAX + REMOTE_CHAIN + 16384];

static bool is_zero(pid_t tid, uint64_t address, size_t size)
{
	uint8_t bytes[sizeof(zeros)];

	return size <= sizeof(bytes) && !tracee_read(tid, address, bytes, size) && !memcmp(bytes, zeros, size);
}

/* The lowest part of the main stack (mprotect cuts areas), or NULL. */
static const struct vma *main_stack(const struct vma_list *vmas)
{
	for (size_t i = vmas->n; i-- > 0;) { /* it is among the last */
		if (strcmp(vmas->v[i].name, "[stack]"))
			continue;
		while (i && vmas->v[i - 1].end == vmas->v[i].start)
			i--;
		return &vmas->v[i];
	}
	return NULL;
}

/* Where a slot lies that a dumper left behind which was killed, between from and to; 0: nowhere. */
static uint64_t find_left_slot(pid_t tid, uint64_t from, uint64_t to, size_t size)
{
	uint64_t bytes[SLOT_SEARCH / sizeof(uint64_t)];
	size_t len = to - from < sizeof(bytes) ? to - from : sizeof(bytes);

	if (to <= from || tracee_read(tid, from, bytes, len))
		return 0;
	for (size_t at = 0; at + sizeof(struct slot_head) <= len; at += 64) {
		const struct slot_head *head = (const struct slot_head *)((const char *)bytes + at);

		if (!memcmp(head->magic, slot_magic, sizeof(slot_magic)) && head->size >= size && head->size < SLOT_MAX)
			return from + at;
	}
	return 0;
}

void remote_slots_spare(struct remote_slots *slots, const struct vma_list *vmas, uint64_t rsp)
{
	const struct vma *v = main_stack(vmas);
	uint64_t limit = rsp - sizeof(zeros);

	if (v && rsp >= v->start && rsp < v->end && (!slots->limit || limit < slots->limit))
		slots->limit = limit;
}

/* A place for size bytes on the main stack, for a thread that cannot lend its own. */
static uint64_t find_slot(struct remote *r, const struct remote_space *space, size_t size)
{
	struct remote_slots *slots = space->slots;
	const struct vma *v = main_stack(space->vmas);
	uint64_t place = v ? v->start + slots->up : 0, limit = slots->limit ?: v ? v->end : 0;

	size += sizeof(struct slot_head);
	if (v && (place + size > limit || !is_zero(r->tid, place, size)))
		place = find_left_slot(r->tid, place, limit, size);
	if (v && place && place + size <= limit) {
		slots->up = place + size - v->start;
	} else {
		place = v && v->start > slots->down + size ? v->start - slots->down - size : 0;
		if (!place || !grow_stack(r, place))
			return 0;
		slots->down += size;
	}
	r->slot = place;
	r->slot_size = size;
	return place + sizeof(struct slot_head);
}

/* A place for size bytes: below the red zone, in a stack that may have to grow for it. */
uint64_t remote_find_place(struct remote *r, const struct remote_space *space, size_t size)
{
	const struct vma *v = vma_find(space->vmas, r->regs.rsp);
	uint64_t top = (r->regs.rsp - RED_ZONE) & ~63ul, place = top - size;

	/* one that is on its way home from a slot, since a dumper was killed: slots of others lie below */
	bool in_slot = v && v == main_stack(space->vmas) && !space->main_thread;

	if (size > top || in_slot || !is_own_stack(r, space, v))
		return find_slot(r, space, size);
	if (place < v->start && (!v->grows_down || !grow_stack(r, place)))
		return find_slot(r, space, size);
	if (v == main_stack(space->vmas)) {
		if (!space->slots->limit || place < space->slots->limit)
			space->slots->limit = place;
		space->slots->down = place < v->start ? v->start - place : 0;
	}
	return place;
}

int remote_mark_slot(const struct remote *r)
{
	struct slot_head head = { .size = r->slot_size };

	memcpy(head.magic, slot_magic, sizeof(slot_magic));
	return tracee_write(r->tid, r->slot, &head, sizeof(head));
}

void remote_clear_slot(const struct remote *r)
{
	if (r->slot_size)
		tracee_write(r->tid, r->slot, zeros, r->slot_size);
}
