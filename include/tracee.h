/*
 * A thread held by ptrace: stopping it, its registers, system calls made by it. See man 2 ptrace.
 *
 * Stops are looked at with waitid(WNOWAIT) and never consumed: a signal-delivery stop that was consumed is
 * a signal lost when the tracer dies. Addresses are the tracee's. All return 0 or -errno; -ESRCH when the thread is
 * gone. Unless said otherwise errors are logged.
 */
#ifndef CKPT_TRACEE_H
#define CKPT_TRACEE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* Kernel signal sets are one word on x86_64. */
typedef uint64_t kernel_sigset;

enum tracee_stop {
	STOP_NONE, /* it runs */
	STOP_EVENT, /* PTRACE_EVENT_STOP after PTRACE_INTERRUPT */
	STOP_GROUP, /* stopped by job control; sig says by which signal */
	STOP_SIGNAL, /* about to get the signal sig */
	STOP_SYSCALL, /* entry or exit of a system call */
	STOP_EXITED, /* it is no more */
};

/* Attaches without stopping; options as PTRACE_O_*. Failure is not logged. */
int tracee_seize(pid_t tid, unsigned long options);
/* Asks a seized thread to stop; does not wait. Failure is not logged. */
int tracee_interrupt(pid_t tid);
/* Looks whether the thread stopped; waits for it when block (a signal now and then lets it see its death in time). *sig
 * may be NULL. Returns an enum tracee_stop or -errno.
 */
int tracee_poll(pid_t tid, bool block, int *sig);
/*
 * Waits until an interrupted thread stands at an event or group stop; signals that arrive before are
 * delivered as usual. Returns STOP_EVENT, STOP_GROUP (with *sig), STOP_EXITED or -errno; when !block also STOP_NONE.
 */
int tracee_settle(pid_t tid, bool block, int *sig);
int tracee_detach(pid_t tid);

int tracee_get_regs(pid_t tid, struct user_regs_struct *regs);
int tracee_set_regs(pid_t tid, const struct user_regs_struct *regs);
int tracee_get_sigmask(pid_t tid, kernel_sigset *mask);
int tracee_set_sigmask(pid_t tid, kernel_sigset mask);
/* The XSAVE area in standard format (NT_X86_XSTATE); *len: room in, bytes out. */
int tracee_get_xstate(pid_t tid, void *buf, size_t *len);
int tracee_set_xstate(pid_t tid, const void *buf, size_t len);

/* Memory, by process_vm_readv and process_vm_writev; all bytes or -EFAULT. Failure is not logged. */
int tracee_read(pid_t tid, uint64_t from, void *to, size_t len);
int tracee_write(pid_t tid, uint64_t to, const void *from, size_t len);

/*
 * Makes the thread, which must be at a stop, run one system call at the address ip, where the bytes 0f 05
 * stand (of a thread in 32-bit code: cd 80), with the stack pointer sp and otherwise the registers of base. On return
 * it is at the exit of the call and *result is what the call returned. The thread's own registers are not put back.
 */
int tracee_syscall(pid_t tid, const struct user_regs_struct *base, uint64_t ip, uint64_t sp, long nr,
		   const uint64_t args[6], int64_t *result);
/* The same in three steps, so that many threads can make their calls at the same time: all begin, all enter, all end.
 */
int tracee_syscall_begin(pid_t tid, const struct user_regs_struct *base, uint64_t ip, uint64_t sp, long nr,
			 const uint64_t args[6]);
/* Only sets it so that it makes the call when it runs. */
int tracee_syscall_aim(pid_t tid, const struct user_regs_struct *base, uint64_t ip, uint64_t sp, long nr,
		       const uint64_t args[6]);
int tracee_syscall_enter(pid_t tid);
int tracee_syscall_end(pid_t tid, int64_t *result);
/* Lets the thread run to the next entry or exit of a system call, in two steps. Its signals must be blocked. */
int tracee_to_syscall(pid_t tid);
int tracee_wait_syscall(pid_t tid);

#endif
