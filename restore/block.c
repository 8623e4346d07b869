/*
 * Makes the block in which a task survives the loss of its own address space, and jumps into it. It is placed
 * in the first hole that is large enough in both the old and the new address space.
 */
#include "block.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "plan.h"
#include "task.h"
#include "vdso.h"

#define LOWEST 0x100000ul
#define SPACE_END (1ul << 47)
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

static int compare_ranges(const void *a, const void *b)
{
	uint64_t x = ((const struct restorer_range *)a)->start, y = ((const struct restorer_range *)b)->start;

	return x < y ? -1 : x > y;
}

/* Adds what is mapped now to the list, which has room for max. Returns how many there are, or -errno (logged). */
static long add_current(struct restorer_range *list, size_t n, size_t max)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	char line[4352];

	if (!f)
		return log_errno(errno, "can't read /proc/self/maps");
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end;

		if (sscanf(line, "%lx-%lx", &start, &end) != 2 || start >= SPACE_END)
			continue;
		if (n == max)
			return log_errno(E2BIG, "more mappings in ckpt itself than expected");
		list[n++] = (struct restorer_range){ start, end - start };
	}
	return n;
}

/*
 * The start of a hole of size bytes, 0 when there is none, or -errno (logged). *space_end is where the last
 * mapping of now ends.
 */
static long find_hole(const struct plan *plan, const struct plan_task *task, size_t size, uint64_t *space_end)
{
	size_t max = task->n_areas + 1024, n = 0;
	_cleanup_free_ struct restorer_range *list = malloc(max * sizeof(*list));
	uint64_t at = LOWEST;

	*space_end = 0;
	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < task->n_areas; i++)
		list[n++] = (struct restorer_range){ task->areas[i].vma->start,
						     task->areas[i].vma->end - task->areas[i].vma->start };
	if (task->vdso_hint)
		list[n++] = (struct restorer_range){ task->vdso_hint, plan->vdso->end - plan->vdso->vvar_start };
	long all = add_current(list, n, max);
	if (all < 0)
		return all;
	for (long i = n; i < all; i++)
		*space_end = list[i].start + list[i].len > *space_end ? list[i].start + list[i].len : *space_end;
	qsort(list, all, sizeof(*list), compare_ranges);
	for (long i = 0; i < all; i++) {
		if (list[i].start >= at + size)
			return at;
		if (list[i].start + list[i].len > at)
			at = list[i].start + list[i].len;
	}
	return 0;
}

/* What the block must hold at most. */
static size_t block_need(const struct plan_task *task)
{
	size_t need = SLACK + LEADER_STACK + task->n_threads * (RESTORER_STACK + sizeof(struct restorer_thread));

	need += task->n_areas * sizeof(struct restorer_area);
	need += task_count_reads(task) * (sizeof(struct restorer_read) + 2 * sizeof(struct restorer_pages));
	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;

		need += e->signals_p ? e->signals_p->n_signals * sizeof(struct restorer_siginfo) : 0;
		need += sizeof(struct restorer_creds) + (e->creds->n_groups + 8) * sizeof(uint32_t);
	}
	if (task->core->signals_s)
		need += task->core->signals_s->n_signals * sizeof(struct restorer_siginfo);
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
	size_t code = page_up(restorer_blob_end - restorer_blob), size = code + block_need(task);
	uint64_t space_end;
	long at = find_hole(plan, task, size + plan->shared_size, &space_end);

	if (at <= 0)
		return at ? at
			  : log_errno(ENOMEM, "no hole of %zu bytes in both address spaces of task %d", size,
				      task->pid);
	void *got = mmap((void *)at, size + plan->shared_size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
	if (got != (void *)at)
		return log_errno(got == MAP_FAILED ? errno : EEXIST, "can't map %zu bytes at 0x%lx", size, at);
	memcpy(got, restorer_blob, restorer_blob_end - restorer_blob);
	*block = (struct block){ .start = got, .size = size, .used = code };
	struct restorer_args *args = block_alloc(block, sizeof(*args));
	struct restorer_thread *threads = block_alloc(block, task->n_threads * sizeof(*threads));
	if (!args || !threads)
		return -ENOMEM;
	block->args = args;
	args->version = RESTORER_ABI_VERSION;
	args->size = sizeof(*args);
	args->block_start = at;
	args->block_end = at + size + plan->shared_size;
	args->space_end = space_end > args->block_end ? space_end : args->block_end;
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
