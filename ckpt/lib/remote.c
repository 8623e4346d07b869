/*
 * Remote calls over ptrace(2), with a way home that survives our death.
 * Does not handle: 32-bit threads, shadow stacks. The seccomp filters of a thread are suspended by its part.
 */
#include "remote.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "fault.h"
#include "log.h"
#include "remote_place.h"
#include "xstate.h"

#define ALL_SIGNALS (~0ull)
#define SCAN_CHUNK (1ul << 20)

static bool found_all(const struct gadgets *g)
{
	return g->syscall_ret && g->sigreturn && g->pop_rax && g->pop_rdi && g->pop_rsi;
}

static void scan_area(pid_t pid, const struct vma *v, uint8_t *buf, struct gadgets *g)
{
	/* chunks overlap, so that no gadget hides on their border */
	for (uint64_t at = v->start; at < v->end && !found_all(g);) {
		size_t len = v->end - at < SCAN_CHUNK ? v->end - at : SCAN_CHUNK;

		if (tracee_read(pid, at, buf, len))
			return; /* pages that cannot be read (beyond the end of the file) hold no code */
		gadgets_scan(g, buf, len, at);
		at += len == SCAN_CHUNK ? len - 32 : len;
	}
}

/* libc holds the return path of every signal handler: look there before large programs are read. */
static int rank(const struct vma *v)
{
	if (!strcmp(v->name, "[vdso]"))
		return 0;
	return strstr(v->name, "/libc.") || strstr(v->name, "/libc-") || strstr(v->name, "/ld-musl") ? 1 : 2;
}

/* The gadgets of a file, as an array. */
#define FILE_GADGETS(g)                                                                                                \
	{                                                                                                              \
		&(g)->sigreturn, &(g)->pop_rax, &(g)->pop_rdi, &(g)->pop_rsi                                           \
	}

/* Whether the bytes that another task has in the same file stand in this area too; they may have been changed. */
static void recall(pid_t pid, const struct vma *v, const struct gadget_cache *cache, struct gadgets *g)
{
	struct gadgets here = {};
	uint64_t *known[] = FILE_GADGETS(g), *seen[] = FILE_GADGETS(&here);
	uint8_t code[GADGETS_IN_FILE][16];
	struct iovec local[GADGETS_IN_FILE], remote[GADGETS_IN_FILE];

	if (!cache->ino || v->ino != cache->ino || v->dev != cache->dev || v->pgoff != cache->pgoff)
		return;
	for (int i = 0; i < GADGETS_IN_FILE; i++) {
		local[i] = (struct iovec){ code[i], sizeof(code[i]) };
		remote[i] = (struct iovec){ (void *)(v->start + cache->offsets[i]), sizeof(code[i]) };
	}
	if (process_vm_readv(pid, local, GADGETS_IN_FILE, remote, GADGETS_IN_FILE, 0) != sizeof(code))
		return;
	for (int i = 0; i < GADGETS_IN_FILE; i++) {
		uint64_t address = v->start + cache->offsets[i];

		here = (struct gadgets){};
		gadgets_scan(&here, code[i], sizeof(code[i]), address);
		if (cache->offsets[i] && !*known[i] && *seen[i] == address)
			*known[i] = address;
	}
}

static void search(pid_t pid, const struct vma *v, uint8_t *buf, struct gadget_cache *cache, struct gadgets *g)
{
	uint64_t *found[] = FILE_GADGETS(g);

	recall(pid, v, cache, g);
	if (found_all(g))
		return;
	struct gadgets before = *g;
	uint64_t *had[] = FILE_GADGETS(&before);
	scan_area(pid, v, buf, g);
	if (!v->ino || before.sigreturn || !g->sigreturn)
		return;
	*cache = (struct gadget_cache){ v->dev, v->ino, v->pgoff, {} };
	for (int i = 0; i < GADGETS_IN_FILE; i++)
		if (!*had[i] && *found[i])
			cache->offsets[i] = *found[i] - v->start;
}

int remote_find_gadgets(pid_t pid, const struct vma_list *vmas, struct gadget_cache *cache, struct gadgets *g)
{
	_cleanup_free_ uint8_t *buf = malloc(SCAN_CHUNK);

	memset(g, 0, sizeof(*g));
	if (!buf)
		return -ENOMEM;
	for (int wanted = 0; wanted <= 2; wanted++) {
		for (size_t i = 0; i < vmas->n && !found_all(g); i++) {
			const struct vma *v = &vmas->v[i];

			if ((v->prot & PROT_EXEC) && (v->prot & PROT_READ) && v->start < 1ul << 47 && rank(v) == wanted)
				search(pid, v, buf, cache, g);
		}
	}
	return gadgets_complete(g) ? 0 : -ENOEXEC;
}

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
static int leave_critical_section(struct remote *r)
{
	uint64_t pointer = r->rseq_area + 8, section = 0, zero = 0; /* offset of rseq_cs in struct rseq */
	struct critical_section cs;

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
	return conf.area ? leave_critical_section(r) : 0;
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

/*
 * A call that was interrupted before shows as restart_syscall: its number is gone from the registers. Mostly it
 * still stands in the code, in the instruction before the call: mov $nr,%eax. Else the arguments tell.
 */
static long interrupted_call(const struct remote *r)
{
	static const long restartable[] = { SYS_nanosleep, SYS_clock_nanosleep, SYS_futex, SYS_poll };
	uint8_t code[24];

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

int remote_prepare(struct remote *r, const struct remote_space *space, size_t below)
{
	size_t size = (sigframe_size(r->xstate_len) + 63) & ~63ul;

	if (size > SIGFRAME_MAX)
		return -ENOSPC;
	uint64_t place = remote_find_place(r, space, (size + below + REMOTE_CHAIN + 63) & ~63ul);
	if (!place)
		return -ENOSPC;
	r->gadgets = space->gadgets;
	r->home = place + below + REMOTE_CHAIN;
	return 0;
}

/* Writes the way home, with the words of a chain of calls, if any, right below it. */
static int write_home(struct remote *r, const uint64_t *chain, size_t chain_len)
{
	_Alignas(64) uint8_t buf[REMOTE_CHAIN + SIGFRAME_MAX];
	struct user_regs_struct home_regs = r->regs;
	uint8_t *frame = buf + REMOTE_CHAIN;

	home_regs.orig_rax = r->call_nr;
	regs_restart_call(&home_regs, SIGNAL_NONE);
	if (chain_len)
		memcpy(frame - chain_len, chain, chain_len);
	size_t len = sigframe_build(frame, r->home, r->gadgets, &home_regs, r->mask, r->xstate, r->xstate_len);
	int err = r->slot_size ? remote_mark_slot(r) : 0;
	if (!err)
		err = tracee_write(r->tid, r->home - chain_len, frame - chain_len, chain_len + len);
	if (!err)
		r->written = true;
	return !err || err == -ESRCH
		       ? err
		       : log_errno(-err, "can't write to the stack of thread %d at %#lx", r->tid, r->home);
}

/* Points the thread at the call and blocks its signals; it does not run yet. */
static int borrow(struct remote *r, struct user_regs_struct *base)
{
	int err = r->written ? 0 : write_home(r, NULL, 0);

	if (err)
		return err;
	if (!r->used) {
		/* First the registers, then the mask: at each moment between, both together are safe. */
		base->rip = r->gadgets->syscall_ret;
		base->rsp = r->home;
		base->rax = -1; /* no such call, should we die here */
		base->orig_rax = -1;
		err = tracee_set_regs(r->tid, base);
		r->used = true;
		if (!err)
			err = tracee_set_sigmask(r->tid, ALL_SIGNALS);
		if (err)
			return err;
	}
	base->eflags &= ~0x100ul; /* TF: the call must not trap */
	return 0;
}

int remote_begin(struct remote *r, long nr, const uint64_t args[6])
{
	struct user_regs_struct base = r->regs;
	int err = borrow(r, &base);

	return err ? err : tracee_syscall_begin(r->tid, &base, r->gadgets->syscall_ret, r->home, nr, args);
}

/*
 * A signal by which the thread can stop itself for us, and that does nothing when we are not there: ignored by
 * default, not caught, not pending, and not blocked, so that one that comes from elsewhere is lost neither.
 */
static int harmless_signal(const struct remote *r, const struct proc_status *st)
{
	static const int signals[] = { SIGURG, SIGWINCH };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!((st->caught | st->pending | st->shared_pending | r->mask) & (1ull << (signals[i] - 1))))
			return signals[i];
	return 0;
}

int remote_chain_begin(struct remote *r, const struct proc_status *st, const struct chain_call *calls, size_t n)
{
	struct chain_call row[REMOTE_CALLS];
	uint64_t words[REMOTE_CALLS * CHAIN_WORDS];
	struct user_regs_struct base = r->regs;
	int sig = harmless_signal(r, st);

	/* under seccomp, one call at a time: should we die, no more than that one is made without us */
	if (!sig || st->seccomp || !r->gadgets->pop_rax || !r->gadgets->pop_rdi || !r->gadgets->pop_rsi ||
	    n >= REMOTE_CALLS)
		return -EOPNOTSUPP;
	memcpy(row, calls, n * sizeof(*row));
	row[n] = (struct chain_call){ SYS_tkill, { r->tid, sig } };
	size_t len = chain_build(words, r->gadgets, row, n + 1) * sizeof(words[0]);
	uint64_t start = r->home - len;
	int err = write_home(r, words, len);
	if (err)
		return err;
	base.rip = r->gadgets->pop_rax; /* as if the first word had just been returned to */
	base.rsp = start + sizeof(words[0]);
	base.orig_rax = -1;
	base.eflags &= ~0x100ul;
	r->used = true;
	err = tracee_set_regs(r->tid, &base);
	if (!err)
		err = tracee_set_sigmask(r->tid, ALL_SIGNALS & ~(1ull << (sig - 1)));
	fault_operation();
	if (!err && ptrace(PTRACE_CONT, r->tid, 0, 0))
		err = log_errno(errno, "can't let thread %d make its calls", r->tid);
	return err;
}

int remote_chain_end(struct remote *r)
{
	for (;;) {
		int sig = 0, stop = tracee_poll(r->tid, true, &sig);

		if (stop < 0 || stop == STOP_EXITED)
			return stop < 0 ? stop : -ESRCH;
		/* the same signal from somebody else comes earlier: then not all words of the chain are used up */
		errno = 0;
		if (stop == STOP_SIGNAL && sig != SIGSTOP &&
		    (uint64_t)ptrace(PTRACE_PEEKUSER, r->tid, offsetof(struct user_regs_struct, rsp), 0) == r->home)
			return 0;
		if (errno)
			return errno == ESRCH ? -ESRCH
					      : log_errno(errno, "can't read the registers of thread %d", r->tid);
		if (stop == STOP_SIGNAL && sig != SIGSTOP)
			sig = 0; /* it is ignored anyway */
		/* a SIGSTOP from outside: the kernel stops the thread again when it is detached */
		if (ptrace(PTRACE_CONT, r->tid, 0, stop == STOP_SIGNAL ? sig : 0))
			return log_errno(errno, "can't continue thread %d", r->tid);
	}
}

int remote_map_begin(struct remote *r, uint64_t address, size_t size, int prot)
{
	const struct chain_call undo = { SYS_munmap, { address, size } };
	const uint64_t args[6] = { address, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0 };
	struct user_regs_struct base = r->regs;
	uint64_t chain[CHAIN_WORDS], sp = r->home;
	int err = 0;

	/* behind the mmap lies a munmap of the same area, behind that the way home */
	if (!r->written)
		err = write_home(r, NULL, 0);
	if (!err && r->gadgets->pop_rax && r->gadgets->pop_rdi && r->gadgets->pop_rsi) {
		chain_build(chain, r->gadgets, &undo, 1);
		sp -= sizeof(chain);
		err = tracee_write(r->tid, sp, chain, sizeof(chain));
	}
	if (!err)
		err = borrow(r, &base);
	return err ? err : tracee_syscall_begin(r->tid, &base, r->gadgets->syscall_ret, sp, SYS_mmap, args);
}

int remote_enter_call(struct remote *r)
{
	return tracee_syscall_enter(r->tid);
}

int remote_end(struct remote *r, int64_t *result)
{
	int64_t ret = 0;
	int err = tracee_syscall_end(r->tid, &ret);

	if (!err && ret < 0 && ret >= -4095)
		err = ret;
	if (result)
		*result = ret;
	return err;
}

int remote_do_args(struct remote *r, int64_t *result, long nr, const uint64_t args[6])
{
	int err = remote_begin(r, nr, args);

	if (!err)
		err = remote_enter_call(r);
	return err ? err : remote_end(r, result);
}

int remote_enter(struct remote *r, uint64_t ip, uint64_t sp, uint64_t arg)
{
	struct user_regs_struct regs = r->regs;

	regs.rip = ip;
	regs.rsp = sp;
	regs.rdi = arg;
	regs.orig_rax = -1;
	regs.eflags = 0x202; /* interrupts on, direction up, no trap */
	return tracee_set_regs(r->tid, &regs);
}

int remote_cure_begin(struct remote *r)
{
	if (!r->used)
		return 0;
	/* From an exit stop or from the running blob to an event stop: only from there restarts work. */
	tracee_interrupt(r->tid);
	fault_operation();
	if (ptrace(PTRACE_CONT, r->tid, 0, 0) && errno != ESRCH)
		return log_errno(errno, "can't move thread %d to an event stop", r->tid);
	return 0;
}

int remote_cure_end(struct remote *r)
{
	if (!r->used && r->written)
		remote_clear_slot(r);
	if (!r->used)
		return 0;
	int stop = tracee_settle(r->tid, true, NULL);
	if (stop < 0)
		return stop;
	if (stop == STOP_EXITED)
		return -ESRCH;
	int err = tracee_set_sigmask(r->tid, r->mask);
	if (!err)
		err = tracee_set_regs(r->tid, &r->regs);
	/* not earlier: until now the way home lay there */
	if (!err)
		remote_clear_slot(r);
	r->used = err;
	return err;
}

void remote_free(struct remote *r)
{
	free(take_ptr(r->xstate));
}
