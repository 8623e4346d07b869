/* Threads held by ptrace(2). Works on seized threads only; never single-steps, never uses debug registers. */
#include "tracee.h"

#include <elf.h>
#include <errno.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "compat.h"
#include "fault.h"
#include "log.h"
#include "proc.h"

int tracee_seize(pid_t tid, unsigned long options)
{
	fault_operation();
	return ptrace(PTRACE_SEIZE, tid, 0, options) ? -errno : 0;
}

int tracee_interrupt(pid_t tid)
{
	fault_operation();
	return ptrace(PTRACE_INTERRUPT, tid, 0, 0) ? -errno : 0;
}

static enum tracee_stop classify(const siginfo_t *si, int *sig)
{
	int event = si->si_status >> 8, signo = si->si_status & 0xff;

	if (si->si_code == CLD_EXITED || si->si_code == CLD_KILLED || si->si_code == CLD_DUMPED)
		return STOP_EXITED;
	if (sig)
		*sig = signo;
	if (event == PTRACE_EVENT_STOP)
		return signo == SIGTRAP ? STOP_EVENT : STOP_GROUP;
	return signo == (SIGTRAP | 0x80) ? STOP_SYSCALL : STOP_SIGNAL;
}

/* A main thread that was killed is not waited for successfully until all others are, which may be later. */
static bool is_zombie(pid_t tid)
{
	struct proc_stat st;
	_cleanup_close_ int proc = proc_open(tid);

	return proc < 0 || proc_stat(proc, "stat", &st) || st.state == 'Z' || st.state == 'X';
}

int tracee_poll(pid_t tid, bool block, int *sig)
{
	int options = WEXITED | WSTOPPED | __WALL | (block ? 0 : WNOHANG);
	siginfo_t si = {};

	fault_operation();
	while (waitid(P_PID, tid, &si, options | WNOWAIT)) {
		if (errno != EINTR)
			return errno == ECHILD ? -ESRCH : log_errno(errno, "can't wait for thread %d", tid);
		if (is_zombie(tid))
			return STOP_EXITED;
	}
	if (!si.si_pid)
		return STOP_NONE;
	/* Stops stay unconsumed: the next one replaces them, and a signal is not lost should we die. */
	enum tracee_stop stop = classify(&si, sig);
	if (stop == STOP_EXITED && waitid(P_PID, tid, &si, options | WNOHANG))
		return -errno;
	return stop;
}

/* Lets a stopped thread go on, with the signal that it was about to get, or none. */
static int resume(pid_t tid, int request, int sig)
{
	fault_operation();
	if (ptrace(request, tid, 0, sig))
		return errno == ESRCH ? -ESRCH : log_errno(errno, "can't continue thread %d with signal %d", tid, sig);
	return 0;
}

int tracee_settle(pid_t tid, bool block, int *sig)
{
	for (;;) {
		int signo = 0, stop = tracee_poll(tid, block, &signo);

		if (stop == STOP_SIGNAL || stop == STOP_SYSCALL) {
			int err = resume(tid, PTRACE_CONT, stop == STOP_SIGNAL ? signo : 0);

			if (err)
				return err;
			continue;
		}
		if (sig)
			*sig = signo;
		return stop;
	}
}

int tracee_detach(pid_t tid)
{
	fault_operation();
	if (ptrace(PTRACE_DETACH, tid, 0, 0))
		return errno == ESRCH ? -ESRCH : log_errno(errno, "can't detach from thread %d", tid);
	return 0;
}

static int regset(int request, pid_t tid, int which, struct iovec *iov, const char *what)
{
	fault_operation();
	if (!ptrace(request, tid, which, iov))
		return 0;
	return errno == ESRCH ? -ESRCH : log_errno(errno, "can't %s of thread %d", what, tid);
}

int tracee_get_regs(pid_t tid, struct user_regs_struct *regs)
{
	fault_operation();
	/* 64-bit registers, also of a thread in 32-bit code, whose register set (NT_PRSTATUS) is another one */
	if (!ptrace(PTRACE_GETREGS, tid, 0, regs))
		return 0;
	return errno == ESRCH ? -ESRCH : log_errno(errno, "can't read the registers of thread %d", tid);
}

int tracee_set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	fault_operation();
	if (!ptrace(PTRACE_SETREGS, tid, 0, regs))
		return 0;
	return errno == ESRCH ? -ESRCH : log_errno(errno, "can't set the registers of thread %d", tid);
}

int tracee_get_xstate(pid_t tid, void *buf, size_t *len)
{
	struct iovec iov = { buf, *len };
	int err = regset(PTRACE_GETREGSET, tid, NT_X86_XSTATE, &iov, "read the extended registers");

	*len = iov.iov_len;
	return err;
}

int tracee_set_xstate(pid_t tid, const void *buf, size_t len)
{
	struct iovec iov = { (void *)buf, len };

	return regset(PTRACE_SETREGSET, tid, NT_X86_XSTATE, &iov, "set the extended registers");
}

int tracee_get_sigmask(pid_t tid, kernel_sigset *mask)
{
	fault_operation();
	if (ptrace(PTRACE_GETSIGMASK, tid, sizeof(*mask), mask))
		return errno == ESRCH ? -ESRCH : log_errno(errno, "can't read the signal mask of thread %d", tid);
	return 0;
}

int tracee_set_sigmask(pid_t tid, kernel_sigset mask)
{
	fault_operation();
	if (ptrace(PTRACE_SETSIGMASK, tid, sizeof(mask), &mask))
		return errno == ESRCH ? -ESRCH : log_errno(errno, "can't set the signal mask of thread %d", tid);
	return 0;
}

int tracee_read(pid_t tid, uint64_t from, void *to, size_t len)
{
	struct iovec local = { to, len }, remote = { (void *)from, len };

	fault_operation();
	ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : (size_t)n < len ? -EFAULT : 0;
}

int tracee_write(pid_t tid, uint64_t to, const void *from, size_t len)
{
	struct iovec local = { (void *)from, len }, remote = { (void *)to, len };

	fault_operation();
	ssize_t n = process_vm_writev(tid, &local, 1, &remote, 1, 0);

	return n < 0 ? -errno : (size_t)n < len ? -EFAULT : 0;
}

/*
 * Waits for the entry or exit of a system call. All signals are blocked then, but SIGSTOP cannot be: it is
 * delivered, which puts the thread into a group stop, and the thread is made to go on nevertheless. The
 * kernel stops it again when it is detached.
 */
int tracee_wait_syscall(pid_t tid)
{
	for (;;) {
		int sig = 0, stop = tracee_poll(tid, true, &sig);

		if (stop == STOP_SYSCALL || stop < 0)
			return stop < 0 ? stop : 0;
		if (stop == STOP_EXITED) {
			log_err("thread %d was killed while it worked for us", tid);
			return -ESRCH;
		}
		int err = resume(tid, PTRACE_SYSCALL, stop == STOP_SIGNAL ? sig : 0);
		if (err)
			return err;
	}
}

int tracee_to_syscall(pid_t tid)
{
	return resume(tid, PTRACE_SYSCALL, 0);
}

int tracee_syscall_aim(pid_t tid, const struct user_regs_struct *base, uint64_t ip, uint64_t sp, long nr,
		       const uint64_t args[6])
{
	struct user_regs_struct regs = *base;

	regs.rip = ip;
	regs.rsp = sp;
	regs.rax = nr;
	regs.orig_rax = -1; /* no restart of the call that the stop interrupted */
	if (regs_compat(&regs)) {
		compat_set_args(&regs, args);
	} else {
		regs.rdi = args[0];
		regs.rsi = args[1];
		regs.rdx = args[2];
		regs.r10 = args[3];
		regs.r8 = args[4];
		regs.r9 = args[5];
	}
	return tracee_set_regs(tid, &regs);
}

int tracee_syscall_begin(pid_t tid, const struct user_regs_struct *base, uint64_t ip, uint64_t sp, long nr,
			 const uint64_t args[6])
{
	int err = tracee_syscall_aim(tid, base, ip, sp, nr, args);

	return err ? err : resume(tid, PTRACE_SYSCALL, 0);
}

int tracee_syscall_enter(pid_t tid)
{
	int err = tracee_wait_syscall(tid);

	return err ? err : resume(tid, PTRACE_SYSCALL, 0);
}

int tracee_syscall_end(pid_t tid, int64_t *result)
{
	int err = tracee_wait_syscall(tid);

	if (err)
		return err;
	errno = 0;
	fault_operation();
	*result = ptrace(PTRACE_PEEKUSER, tid, offsetof(struct user_regs_struct, rax), 0);
	return errno ? -errno : 0;
}

int tracee_syscall(pid_t tid, const struct user_regs_struct *base, uint64_t ip, uint64_t sp, long nr,
		   const uint64_t args[6], int64_t *result)
{
	int err = tracee_syscall_begin(tid, base, ip, sp, nr, args);

	if (!err)
		err = tracee_syscall_enter(tid);
	return err ? err : tracee_syscall_end(tid, result);
}
