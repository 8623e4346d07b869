/*
 * Remote calls over ptrace(2), with a way home that survives our death.
 * Does not handle: shadow stacks. The seccomp filters of a thread are suspended by its part.
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
#include "compat.h"
#include "fault.h"
#include "log.h"
#include "remote_place.h"
#include "xstate.h"

#define ALL_SIGNALS (~0ull)
#define COMPAT_STEP 352 /* bytes of a frame without extended registers */
#define SCAN_CHUNK (1ul << 16) /* bytes; what a libc lacks near its start is rare, and untouched memory costs */

static bool found_all(const struct gadgets *g)
{
	if (g->compat)
		return gadgets_complete(g);
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

	if (g->compat || !cache->ino || v->ino != cache->ino || v->dev != cache->dev || v->pgoff != cache->pgoff)
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

int remote_find_gadgets(pid_t pid, bool compat, const struct vma_list *vmas, struct gadget_cache *cache,
			struct gadgets *g)
{
	_cleanup_free_ uint8_t *buf = malloc(SCAN_CHUNK);

	*g = (struct gadgets){ .compat = compat };
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
	uint8_t *frame = buf + REMOTE_CHAIN;
	int err = remote_leave_section(r);

	if (err)
		return err;
	struct user_regs_struct home_regs = r->regs;
	home_regs.orig_rax = r->call_nr;
	regs_restart_call(&home_regs, SIGNAL_NONE);
	if (chain_len)
		memcpy(frame - chain_len, chain, chain_len);
	size_t len = sigframe_build(frame, r->home, r->gadgets, &home_regs, r->mask, r->xstate, r->xstate_len);
	err = r->slot_size ? remote_mark_slot(r) : 0;
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
		base->rip = gadgets_call(r->gadgets);
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

	if (!err && r->gadgets->compat)
		nr = compat_number(nr);
	return err ? err : tracee_syscall_begin(r->tid, &base, gadgets_call(r->gadgets), r->home, nr, args);
}

int remote_aim(struct remote *r, long nr, const uint64_t args[6])
{
	struct user_regs_struct base = r->regs;

	if (!r->home || r->gadgets->compat)
		return -EOPNOTSUPP;
	int err = borrow(r, &base);
	return err ? err : tracee_syscall_aim(r->tid, &base, gadgets_call(r->gadgets), r->home, nr, args);
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
	if (!sig || st->seccomp || r->gadgets->compat || !r->gadgets->pop_rax || !r->gadgets->pop_rdi ||
	    !r->gadgets->pop_rsi || n >= REMOTE_CALLS)
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

/* The same for a 32-bit thread: a frame whose registers are those of the munmap, before the frame of the way home. */
static int undo_compat_map(struct remote *r, uint64_t address, size_t size, uint64_t *sp)
{
	uint8_t frame[COMPAT_STEP];
	struct user_regs_struct undo = r->regs;

	undo.rip = r->gadgets->int80_ret;
	undo.rax = COMPAT_munmap;
	undo.rbx = address;
	undo.rcx = size;
	undo.rsp = r->home;
	size_t len = compat_frame_build(frame, 0, r->gadgets, &undo, ALL_SIGNALS, NULL, 0);
	*sp = r->home - len;
	return tracee_write(r->tid, *sp, frame, len);
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
	if (!err && r->gadgets->compat) {
		err = undo_compat_map(r, address, size, &sp);
	} else if (!err && r->gadgets->pop_rax && r->gadgets->pop_rdi && r->gadgets->pop_rsi) {
		chain_build(chain, r->gadgets, &undo, 1);
		sp -= sizeof(chain);
		err = tracee_write(r->tid, sp, chain, sizeof(chain));
	}
	if (!err)
		err = borrow(r, &base);
	long nr = r->gadgets->compat ? compat_number(SYS_mmap) : SYS_mmap;
	return err ? err : tracee_syscall_begin(r->tid, &base, gadgets_call(r->gadgets), sp, nr, args);
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

	regs.cs = CS_NATIVE; /* a 32-bit thread runs 64-bit code for us, too */
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
