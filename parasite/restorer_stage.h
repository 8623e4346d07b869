/* How a task in the restorer blob tells the coordinator that it has done its part, or that it cannot, and waits. */
#ifndef CKPT_RESTORER_STAGE_H
#define CKPT_RESTORER_STAGE_H

#include <linux/futex.h>

#include "restorer_abi.h"
#include "runtime.h"

static _Noreturn void leave(void)
{
	for (;;)
		sys(exit_group, 1);
}

/* Tells the coordinator what failed and ends the task. err is a positive errno. */
static _Noreturn void fail(struct restorer_args *args, enum blob_step step, uint64_t subject, long err)
{
	struct restorer_shared *shared = args->shared;
	uint32_t none = 0;

	if (__atomic_compare_exchange_n(&shared->failed, &none, 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		shared->step = step;
		shared->pid = sys(getpid);
		shared->subject = subject;
		shared->error = err;
		__atomic_store_n(&shared->failed, 2, __ATOMIC_SEQ_CST);
	}
	sys6(futex, &shared->arrived, FUTEX_WAKE, 1, 0, 0, 0);
	leave();
}

/* Ends the task when the system call of the step failed. */
static long must(struct restorer_args *args, enum blob_step step, uint64_t subject, long ret)
{
	if (ret < 0)
		fail(args, step, subject, -ret);
	return ret;
}

static void fault(struct restorer_args *args, enum blob_fault point)
{
	if (args->fault_step != point)
		return;
	if (!args->fault_signal)
		fail(args, STEP_FAULT, point, 5 /* EIO */);
	sys(kill, args->fault_target, args->fault_signal);
}

/* Tells the coordinator that this thread has done its part of the stage that has begun. */
static void arrive(struct restorer_shared *shared)
{
	uint32_t arrived = __atomic_add_fetch(&shared->arrived, 1, __ATOMIC_SEQ_CST);

	if (arrived == __atomic_load_n(&shared->expected, __ATOMIC_SEQ_CST))
		sys6(futex, &shared->arrived, FUTEX_WAKE, 1, 0, 0, 0);
}

static void wait_stage(struct restorer_shared *shared, uint32_t stage)
{
	for (;;) {
		uint32_t now = __atomic_load_n(&shared->stage, __ATOMIC_SEQ_CST);

		if (now >= stage)
			return;
		sys6(futex, &shared->stage, FUTEX_WAIT, now, 0, 0, 0);
	}
}

static _Noreturn void wait_forever(struct restorer_shared *shared)
{
	for (;;)
		sys6(futex, &shared->never, FUTEX_WAIT, 0, 0, 0, 0);
}

#endif
