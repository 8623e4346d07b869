/*
 * 32-bit programs: numbers of system calls (arch/x86/entry/syscalls/syscall_32.tbl) and signal frames as the
 * rt_sigreturn of 32-bit programs reads them (arch/x86/include/asm/sigframe.h: struct rt_sigframe_ia32).
 */
#include "compat.h"

#include <string.h>
#include <sys/syscall.h>

#include "xstate.h"

long compat_number(long nr)
{
	switch (nr) {
	case SYS_getpid:
		return 20;
	case SYS_munmap:
		return COMPAT_munmap;
	case SYS_mmap:
		return 192; /* mmap2: the offset counts pages; ours is 0 */
	case SYS_prctl:
		return 172;
	case SYS_sigaltstack:
		return 186;
	case SYS_tkill:
		return 238;
	case SYS_io_uring_enter:
		return 426;
	case SYS_io_uring_register:
		return 427;
	}
	return -1;
}

void compat_set_args(struct user_regs_struct *regs, const uint64_t args[6])
{
	regs->rbx = args[0];
	regs->rcx = args[1];
	regs->rdx = args[2];
	regs->rsi = args[3];
	regs->rdi = args[4];
	regs->rbp = args[5];
}

bool compat_reissued_after_eintr(long nr)
{
	static const uint16_t calls[] = {
		3,   4,	  145, 146, /* read, write, readv, writev: of sockets with timeouts */
		102, 117, /* socketcall, ipc (semop) */
		177, 421, /* rt_sigtimedwait */
		247, 385, 416, /* io_getevents, io_pgetevents */
		256, 319, 441, /* epoll_wait, epoll_pwait, epoll_pwait2 */
		337, 417, 371, 372, 364, /* recvmmsg, recvfrom, recvmsg, accept4 */
		345, 369, 370, 362, /* sendmmsg, sendto, sendmsg, connect */
		420, 426, /* semtimedop, io_uring_enter */
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (nr == calls[i])
			return true;
	return false;
}

struct context32 {
	uint16_t gs, gsh, fs, fsh, es, esh, ds, dsh;
	uint32_t di, si, bp, sp, bx, dx, cx, ax, trapno, err, ip;
	uint16_t cs, csh;
	uint32_t flags, sp_at_signal;
	uint16_t ss, ssh;
	uint32_t fpstate, oldmask, cr2;
};

struct frame32 {
	uint32_t return_address, sig, siginfo, ucontext;
	uint8_t info[128];
	uint32_t uc_flags, uc_link;
	struct {
		uint32_t sp;
		int32_t flags;
		uint32_t size;
	} uc_stack;
	struct context32 context;
	uint32_t sigmask[2];
};

/* The x87 state as the FSAVE instruction writes it: stands before the XSAVE area, and the kernel reads both. */
struct fsave {
	uint32_t cwd, swd, twd, fip, fcs, foo, fos;
	uint8_t st[8][10];
	uint16_t status, magic;
};

/* The first bytes of an XSAVE area. */
struct fxsave {
	uint16_t cwd, swd, twd, fop;
	uint32_t fip, fcs, foo, fos, mxcsr, mxcsr_mask;
	uint8_t st[8][16];
};

static void fill_context(struct context32 *c, const struct user_regs_struct *regs, uint64_t fpstate)
{
	*c = (struct context32){
		.gs = regs->gs,
		.fs = regs->fs,
		.es = regs->es,
		.ds = regs->ds,
		.di = regs->rdi,
		.si = regs->rsi,
		.bp = regs->rbp,
		.sp = regs->rsp,
		.bx = regs->rbx,
		.dx = regs->rdx,
		.cx = regs->rcx,
		.ax = regs->rax,
		.ip = regs->rip,
		.cs = regs->cs,
		.flags = regs->eflags,
		.sp_at_signal = regs->rsp,
		.ss = regs->ss,
		.fpstate = fpstate,
	};
}

static void fill_fsave(struct fsave *to, const struct fxsave *from)
{
	*to = (struct fsave){
		.cwd = 0xffff0000 | from->cwd,
		.swd = 0xffff0000 | from->swd,
		.twd = 0xffff0000,
		.fip = from->fip,
		.fcs = (from->fcs & 0xffff) | (uint32_t)from->fop << 16,
		.foo = from->foo,
		.fos = from->fos,
		.status = from->swd,
	};
	/* two bits a register: valid or empty is all that counts */
	for (int i = 0; i < 8; i++) {
		to->twd |= from->twd >> i & 1 ? 0 : 3u << i * 2;
		memcpy(to->st[i], from->st[i], sizeof(to->st[i]));
	}
}

size_t compat_frame_build(void *buf, uint64_t address, const struct gadgets *g, const struct user_regs_struct *regs,
			  uint64_t sigmask, const void *xstate, size_t xstate_len)
{
	size_t before = g->int80_pops * 4;
	uint64_t end = address + before + sizeof(struct frame32);
	/* the XSAVE area is aligned, and the other right before it */
	uint64_t area = (end + sizeof(struct fsave) + 63) & ~63ul, fpstate = area - sizeof(struct fsave);
	struct frame32 f = {
		.return_address = g->compat_sigreturn,
		.uc_stack.flags = SIGFRAME_BAD_STACK,
		.sigmask = { sigmask, sigmask >> 32 },
	};

	fill_context(&f.context, regs, xstate ? fpstate : 0);
	memset(buf, 0, before);
	memcpy((uint8_t *)buf + before, &f, sizeof(f));
	if (!xstate)
		return end - address;
	memset((uint8_t *)buf + (end - address), 0, fpstate - end);
	struct fsave fsave;
	fill_fsave(&fsave, xstate);
	memcpy((uint8_t *)buf + (fpstate - address), &fsave, sizeof(fsave));
	return area - address + sigframe_put_xstate((uint8_t *)buf + (area - address), xstate, xstate_len);
}
