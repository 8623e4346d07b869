/*
 * Robust futex lists (get_robust_list(2), from outside) and the address that is cleared and woken when a
 * thread ends (PR_GET_TID_ADDRESS, asked inside each thread). Where BPF iterators tell, nobody is asked.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "compat.h"
#include "dump.h"
#include "log.h"

#define COMPAT_get_robust_list 312

/* A 32-bit thread has a list of its own kind, which only a 32-bit system call tells. It answers below 4 GiB. */
static int collect_compat(struct dump_thread *th)
{
	uint32_t *answer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int ret;

	if (answer == MAP_FAILED)
		return log_errno(errno, "can't map a page below 4 GiB");
	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(COMPAT_get_robust_list), "b"(th->tid), "c"(answer), "d"(answer + 1)
			 : "memory", "r8", "r9", "r10", "r11");
	th->robust_list = answer[0];
	th->robust_len = answer[0] ? answer[1] : 0;
	munmap(answer, 4096);
	return ret ? log_errno(-ret, "can't read the robust futex list of thread %d", th->tid) : 0;
}

static int read_thread(struct dump_task *t, struct dump_thread *th)
{
	if (regs_compat(&th->remote.regs))
		return collect_compat(th);
	if (th->told)
		return 0;
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
	.read_thread = read_thread,
	.queries = &query,
	.n_queries = 1,
	.fill_thread = fill_thread,
};
