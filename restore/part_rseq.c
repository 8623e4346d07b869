/*
 * Restartable sequences: registered anew by each thread. The pointer to the sequence that it is in, if any,
 * is written last of all (restore/finish.c), because the kernel clears it while the thread runs the blob.
 */
#include "block.h"
#include "plan.h"

static int rseq_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	for (size_t i = 0; i < task->n_threads; i++) {
		const RseqEntry *e = task->threads[i].core->thread_core->rseq_entry;
		struct restorer_thread *t = &block->args->threads[i];

		if (!e)
			continue;
		t->rseq = e->rseq_abi_pointer;
		t->rseq_size = e->rseq_abi_size;
		t->rseq_signature = e->signature;
	}
	return 0;
}

const struct restore_part restore_part_rseq = { .name = "rseq", .fill = rseq_fill };
