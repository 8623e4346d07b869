/*
 * Makes the block in which a task survives the loss of its own address space, and jumps into it. It lies in a
 * hole (hole.c).
 */
#include "block.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hole.h"
#include "locks.h"
#include "log.h"
#include "plan.h"
#include "task.h"

#define LEADER_STACK 16384
#define SLACK (4ul << 20) /* for what is small or rare: costs nothing until it is used */
#define RSEQ_SIGNATURE 0x53053053
#define RSEQ_UNREGISTER 1

extern const uint8_t restorer_blob[], restorer_blob_end[];

/* Of glibc 2.35 and later; other libraries do not register. */
extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

static size_t page_up(size_t n)
{
	return (n + IMAGE_PAGE_SIZE - 1) & ~(IMAGE_PAGE_SIZE - 1);
}

/* What the block must hold at most. */
static size_t block_need(const struct plan *plan, const struct plan_task *task)
{
	size_t need = SLACK + LEADER_STACK + task->n_threads * (RESTORER_STACK + sizeof(struct restorer_thread));

	need += task->n_areas * (sizeof(struct restorer_area) + 2 * sizeof(struct restorer_range));
	need += task->pages.n_files * sizeof(int32_t) + 16;
	need += task_count_reads(task) * (sizeof(struct restorer_read) + 2 * sizeof(struct restorer_pages) +
					  (plan->lazy_sock >= 0 ? sizeof(struct restorer_lazy) : 0));
	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;

		need += e->signals_p ? e->signals_p->n_signals * sizeof(struct restorer_siginfo) : 0;
		need += e->cpu_affinity.len + 16 + (e->has_sched_deadline ? sizeof(struct restorer_deadline) + 16 : 0);
		need += sizeof(struct restorer_creds) + (e->creds->n_groups + 8) * sizeof(uint32_t);
	}
	if (task->core->signals_s)
		need += task->core->signals_s->n_signals * sizeof(struct restorer_siginfo);
	if (task->core->timers)
		need += task->core->timers->n_posix * sizeof(struct restorer_posix_timer);
	need += seccomp_room(plan, task) + locks_room(plan, task) + io_uring_room(task);
	return page_up(need + task->n_guards * sizeof(struct restorer_range));
}

void *block_alloc(struct block *block, size_t size)
{
	size = (size + 15) & ~15ul;
	if (size > block->size - block->used) {
		log_err("no room left in the block of the restorer: %zu of %zu bytes are used", block->used,
			block->size);
		return NULL;
	}
	block->used += size;
	return block->start + block->used - size;
}

int block_create(struct plan *plan, struct plan_task *task, struct block *block)
{
	size_t code = page_up(restorer_blob_end - restorer_blob), size = code + block_need(plan, task);
	struct hole hole = {
		.size = size + plan->shared_size,
		.prot = PROT_READ | PROT_WRITE,
		.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
		.fd = -1,
	};
	long at = hole_map(plan, task, &hole);

	if (at < 0)
		return at;
	memcpy((void *)at, restorer_blob, restorer_blob_end - restorer_blob);
	*block = (struct block){ .start = (void *)at, .size = size, .used = code };
	struct restorer_args *args = block_alloc(block, sizeof(*args));
	struct restorer_thread *threads = block_alloc(block, task->n_threads * sizeof(*threads));
	if (!args || !threads)
		return -ENOMEM;
	block->args = args;
	args->version = RESTORER_ABI_VERSION;
	args->size = sizeof(*args);
	args->block_start = at;
	args->block_end = at + size + plan->shared_size;
	args->shared = (void *)(block->start + size);
	args->threads = threads;
	args->n_threads = task->n_threads - 1;
	for (size_t i = 0; i < task->n_threads; i++)
		threads[i].tid = task->threads[i].tid;
	return 0;
}

/* The kernel would write into the area that libc registered, which is about to go. */
static int unregister_rseq(void)
{
	if (!&__rseq_size || !__rseq_size)
		return 0;
	/* Later versions of glibc register more than they tell. */
	const unsigned int sizes[] = { __rseq_size, 32, 64 };
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		if (!syscall(SYS_rseq, area, sizes[i], RSEQ_UNREGISTER, RSEQ_SIGNATURE))
			return 0;
	return log_errno(errno, "can't unregister the restartable sequences of ckpt itself");
}

int block_enter(struct plan *plan, struct plan_task *task, struct block *block)
{
	struct restorer_args *args = block->args;
	struct restorer_slot *slot = &plan->shared->slots[task->index];
	uint8_t *stack;

	args->stacks = ((uint64_t)block->start + block->used + 15) & ~15ul;
	stack = block_alloc(block, args->n_threads * RESTORER_STACK + LEADER_STACK);
	int err = stack ? unregister_rseq() : -ENOMEM;
	if (err)
		return err;
	stack += args->n_threads * RESTORER_STACK + LEADER_STACK;
	slot->block_start = args->block_start;
	slot->block_end = args->block_end;
	if (mprotect(block->start, page_up(restorer_blob_end - restorer_blob), PROT_READ | PROT_EXEC))
		return log_errno(errno, "can't make the blob executable");
	if (mremap(plan->shared, plan->shared_size, plan->shared_size, MREMAP_MAYMOVE | MREMAP_FIXED, args->shared) ==
	    MAP_FAILED)
		return log_errno(errno, "can't move the shared state into the block");
	plan->shared = args->shared;
	__asm__ volatile("mov %0, %%rsp\n\t"
			 "jmp *%1"
			 :
			 : "r"(stack), "r"(block->start), "D"(args)
			 : "memory");
	__builtin_unreachable();
}
