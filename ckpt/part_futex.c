/*
 * Robust futex lists (get_robust_list(2), from outside) and the address that is cleared and woken when a
 * thread ends (PR_GET_TID_ADDRESS, asked inside each thread).
 */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dump.h"
#include "log.h"

static int collect_thread(struct dump_task *t, struct dump_thread *th)
{
	if (syscall(SYS_get_robust_list, th->tid, &th->robust_list, &th->robust_len))
		return log_errno(errno, "can't read the robust futex list of thread %d", th->tid);
	if (!th->robust_list)
		th->robust_len = 0;
	return 0;
}

static const struct dump_query query = {
	.what = "tid address",
	.nr = SYS_prctl,
	.arg = PR_GET_TID_ADDRESS,
	.answer = offsetof(struct dump_thread, clear_child_tid),
	.size = sizeof(((struct dump_thread *)0)->clear_child_tid),
};

static int fill_thread(const struct dump_task *t, const struct dump_thread *th, CoreEntry *core, struct arena *arena)
{
	core->thread_core->futex_rla = th->robust_list;
	core->thread_core->futex_rla_len = th->robust_len;
	return 0;
}

const struct dump_part dump_part_futex = {
	.name = "futex",
	.collect_thread = collect_thread,
	.queries = &query,
	.n_queries = 1,
	.fill_thread = fill_thread,
};
