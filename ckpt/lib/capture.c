/*
 * The state of a thread at the moment when it was stopped, so that it can go on as if it had not been: ptrace(2). A
 * critical section of rseq(2) is aborted, a system call that was interrupted is set to be issued again.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "compat.h"
#include "log.h"
#include "remote.h"
#include "xstate.h"

/* struct rseq_cs of linux/rseq.h; defined here for its fixed layout. */
struct critical_section {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

/*
 * A thread that runs elsewhere in between would leave its critical section half done without an abort: do
 * what the kernel does on preemption, go to the abort handler. Then nothing of the section may be pending
 * while the thread works for us.
 */
int remote_leave_section(struct remote *r)
{
	uint64_t pointer = r->rseq_area + 8, section = 0, zero = 0; /* offset of rseq_cs in struct rseq */
	struct critical_section cs;

	if (!r->rseq_area || r->section_left)
		return 0;
	r->section_left = true;
	if (tracee_read(r->tid, pointer, &section, 8) || !section)
		return 0;
	if (!tracee_read(r->tid, section, &cs, sizeof(cs)) && r->regs.rip - cs.start < cs.length) {
		r->regs.rip = cs.abort;
		int err = tracee_set_regs(r->tid, &r->regs);
		if (err)
			return err;
	}
	if (tracee_write(r->tid, pointer, &zero, 8))
		return log_errno(EFAULT, "can't clear the rseq critical section of thread %d", r->tid);
	return 0;
}

static int capture_rseq(struct remote *r)
{
	struct {
		uint64_t area;
		uint32_t size, signature, flags, pad;
	} conf = {};

	/* 5.13; before that rseq cannot be seen from outside */
	if (ptrace(PTRACE_GET_RSEQ_CONFIGURATION, r->tid, sizeof(conf), &conf) < 0)
		return errno == ESRCH ? -ESRCH : 0;
	r->rseq_area = conf.area;
	r->rseq_size = conf.size;
	r->rseq_signature = conf.signature;
	/* no system calls are in critical sections: then it is looked at only if the thread is to work */
	return (long)r->regs.orig_rax < 0 ? remote_leave_section(r) : 0;
}

/* Whether a signal that the thread does not block waits for it. */
static bool signal_waits(pid_t tid, kernel_sigset mask)
{
	for (int shared = 0; shared <= 1; shared++) {
		struct __ptrace_peeksiginfo_args args = { .flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0, .nr = 16 };
		siginfo_t si[16];
		long n;

		while ((n = ptrace(PTRACE_PEEKSIGINFO, tid, &args, si)) > 0) {
			for (long i = 0; i < n; i++)
				if (!(mask & (1ull << (si[i].si_signo - 1))))
					return true;
			args.off += n;
		}
	}
	return false;
}

/*
 * Some calls come back with EINTR only because of our stop. They are set to be issued again at once, so that
 * nobody sees it, even if we die before the thread is released.
 */
static int hide_eintr(struct remote *r)
{
	struct user_regs_struct again = r->regs;

	if ((long)r->regs.orig_rax < 0 || (long)r->regs.rax != -EINTR || signal_waits(r->tid, r->mask))
		return 0;
	regs_restart_call(&again, SIGNAL_NONE);
	if (again.rip == r->regs.rip)
		return 0;
	r->regs = again;
	return tracee_set_regs(r->tid, &again);
}

/*
 * A thread that was stopped in a sleep goes on with it by restart_syscall(2), which it has not yet done when it is
 * stopped again at once. As registers say nothing of that sleep, and the kernel forgets it at the next rt_sigreturn(2),
 * it is taken back into the sleep. This is where it goes on from when it is let go.
 */
static void back_to_sleep(struct remote *r)
{
	bool compat = regs_compat(&r->regs);
	uint8_t code[2];

	if (r->regs.rax == (compat ? COMPAT_restart_syscall : SYS_restart_syscall) &&
	    !tracee_read(r->tid, r->regs.rip, code, sizeof(code)))
		regs_undo_restart(&r->regs, code);
}

/* Which of the calls that restart_syscall goes on with has such arguments; 0 when it cannot be told. */
static long guess_call(const struct remote *r)
{
	const struct user_regs_struct *regs = &r->regs;
	uint64_t operation = regs->rsi & ~384ul; /* without FUTEX_PRIVATE_FLAG and FUTEX_CLOCK_REALTIME */
	uint64_t timeout[2];
	uint32_t word;

	if (regs->rdi < 4096)
		return regs->rdi < 16 && !regs->rsi ? SYS_clock_nanosleep : regs->rdi ? 0 : SYS_poll;
	/* FUTEX_WAIT and FUTEX_WAIT_BITSET sleep only while the word has the value of the third argument */
	if ((operation == 0 || operation == 9) && !(regs->rdi & 3) &&
	    !tracee_read(r->tid, regs->rdi, &word, sizeof(word)) && word == (uint32_t)regs->rdx &&
	    !tracee_read(r->tid, regs->r10, timeout, sizeof(timeout)) && timeout[1] < 1000000000)
		return SYS_futex;
	return regs->rsi && regs->rsi < 65536 ? SYS_poll : SYS_nanosleep;
}

/* Whether what stands at the address is a struct timespec with 64-bit members. */
static bool is_wide_time(const struct remote *r, uint32_t address)
{
	uint64_t time[2];

	return !tracee_read(r->tid, address, time, sizeof(time)) && time[0] < 1ull << 40 && time[1] < 1000000000;
}

/* The same as guess_call for a 32-bit thread. The number is not in its code: libc makes its calls in the vDSO. */
static long guess_compat_call(const struct remote *r)
{
	const struct user_regs_struct *regs = &r->regs;
	uint32_t a = regs->rbx, b = regs->rcx, c = regs->rdx, d = regs->rsi, operation = b & ~384u, word;

	if (a < 16 && !b && c >= 4096)
		return is_wide_time(r, c) ? COMPAT_clock_nanosleep_time64 : COMPAT_clock_nanosleep;
	if (a < 4096)
		return a ? 0 : COMPAT_poll;
	if ((operation == 0 || operation == 9) && !(a & 3) && !tracee_read(r->tid, a, &word, sizeof(word)) &&
	    word == c && d >= 4096)
		return is_wide_time(r, d) ? COMPAT_futex_time64 : COMPAT_futex;
	return b && b < 65536 ? COMPAT_poll : COMPAT_nanosleep;
}

/*
 * A call that was interrupted before shows as restart_syscall: its number is gone from the registers. Mostly it
 * still stands in the code, in the instruction before the call: mov $nr,%eax. Else the arguments tell.
 */
static long interrupted_call(const struct remote *r)
{
	static const long restartable[] = { SYS_nanosleep, SYS_clock_nanosleep, SYS_futex, SYS_poll };
	uint8_t code[24];

	if (regs_compat(&r->regs)) /* 0 when it cannot be told */
		return r->regs.orig_rax == COMPAT_restart_syscall ? guess_compat_call(r) : (long)r->regs.orig_rax;
	if (r->regs.orig_rax != SYS_restart_syscall)
		return r->regs.orig_rax;
	if (tracee_read(r->tid, r->regs.rip - 2 - sizeof(code), code, sizeof(code)))
		return guess_call(r) ?: SYS_restart_syscall;
	for (int at = sizeof(code) - 5; at >= 0; at--) {
		uint32_t nr;

		memcpy(&nr, code + at + 1, sizeof(nr));
		for (size_t i = 0; code[at] == 0xb8 && i < sizeof(restartable) / sizeof(restartable[0]); i++)
			if (nr == restartable[i])
				return nr;
	}
	return guess_call(r) ?: SYS_restart_syscall;
}

int remote_capture(struct remote *r, pid_t tid)
{
	uint8_t xstate[XSTATE_MAX];
	uint64_t features;

	*r = (struct remote){ .tid = tid, .xstate_len = sizeof(xstate) };
	int err = tracee_get_regs(tid, &r->regs);
	if (!err)
		err = tracee_get_sigmask(tid, &r->mask);
	if (!err)
		err = tracee_get_xstate(tid, xstate, &r->xstate_len);
	if (!err)
		back_to_sleep(r);
	if (!err)
		err = hide_eintr(r);
	if (!err)
		err = capture_rseq(r);
	if (err)
		return err;
	r->call_nr = interrupted_call(r);
	memcpy(&features, xstate + XSTATE_SW_FEATURES, sizeof(features));
	if (features && xstate_size(features) < r->xstate_len)
		r->xstate_len = xstate_size(features);
	r->xstate = malloc(r->xstate_len);
	if (!r->xstate)
		return -ENOMEM;
	memcpy(r->xstate, xstate, r->xstate_len);
	return 0;
}
