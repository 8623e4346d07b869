/* Robust futex lists (set_robust_list) and the address that is cleared when a thread ends (set_tid_address). */
#include "block.h"
#include "plan.h"

/* sizeof(struct robust_list_head) of 64-bit and of 32-bit programs. */
static uint32_t robust_len(const struct plan_task *task)
{
	return task->compat ? 12 : 24;
}

static int futex_read(struct plan *plan, struct plan_task *task)
{
	for (size_t i = 0; i < task->n_threads; i++) {
		const ThreadCoreEntry *e = task->threads[i].core->thread_core;

		if (e && e->futex_rla && e->futex_rla_len != robust_len(task))
			plan_refuse(plan, "core-%d.img: robust list with a head of %u bytes instead of %u",
				    task->threads[i].tid, e->futex_rla_len, robust_len(task));
	}
	return 0;
}

static int futex_fill(struct plan *plan, struct plan_task *task, struct block *block)
{
	for (size_t i = 0; i < task->n_threads; i++) {
		struct restorer_thread *t = &block->args->threads[i];

		t->robust_list = task->threads[i].core->thread_core->futex_rla;
		t->robust_len = robust_len(task);
		t->clear_child_tid = task->threads[i].clear_child_tid;
	}
	return 0;
}

const struct restore_part restore_part_futex = { .name = "futexes", .read = futex_read, .fill = futex_fill };
