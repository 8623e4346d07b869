/*
 * A thread that was stopped in the middle of a function of the vDSO can't go on there on another kernel, whose vDSO has
 * other code and data: it is let out before it is dumped. Each function takes less than a microsecond.
 */
#include "vdso.h"

#include <string.h>
#include <sys/ptrace.h>
#include <time.h>

#include "cleanup.h"
#include "fault.h"
#include "log.h"

#define TRIES 30

static bool is_inside(const struct dump_task *t, uint64_t ip)
{
	struct vma_list vmas = {};
	bool inside = false;

	if (proc_vmas(t->proc, false, &vmas))
		return false;
	const struct vma *v = vma_find(&vmas, ip);
	if (v)
		inside = !strcmp(v->name, "[vdso]");
	vma_list_free(&vmas);
	return inside;
}

bool vdso_let_out(struct dump_thread *th)
{
	const struct user_regs_struct *regs = &th->remote.regs;

	/* one that waits in a system call there has nothing more to do in there */
	if ((long)regs->orig_rax >= 0 || th->vdso_tries >= TRIES || !is_inside(th->task, regs->rip))
		return false;
	th->vdso_tries++;
	fault_operation();
	if (ptrace(PTRACE_CONT, th->tid, 0, 0))
		return false;
	/* longer each time: it must get to run before it is asked to stop */
	nanosleep(&(struct timespec){ .tv_nsec = 10000 * th->vdso_tries }, NULL);
	return !tracee_interrupt(th->tid);
}
