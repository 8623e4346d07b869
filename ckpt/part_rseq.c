/* Restartable sequences: where each thread registered its area (PTRACE_GET_RSEQ_CONFIGURATION, 5.13). */
#include <errno.h>

#include "dump.h"

static int fill_thread(const struct dump_task *t, const struct dump_thread *th, CoreEntry *core, struct arena *arena)
{
	RseqEntry *e;

	if (!th->remote.rseq_area)
		return 0;
	e = arena_get(arena, sizeof(*e));
	if (!e)
		return -ENOMEM;
	rseq_entry__init(e);
	e->rseq_abi_pointer = th->remote.rseq_area;
	e->rseq_abi_size = th->remote.rseq_size;
	e->signature = th->remote.rseq_signature;
	core->thread_core->rseq_entry = e;
	return 0;
}

const struct dump_part dump_part_rseq = {
	.name = "rseq",
	.fill_thread = fill_thread,
};
