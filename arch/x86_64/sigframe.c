/*
 * Signal frames as rt_sigreturn of Linux on x86_64 reads them (arch/x86/include/uapi/asm/sigcontext.h,
 * arch/x86/include/asm/sigframe.h), and the instructions that lead there. Those
 * of 32-bit programs: compat.c.
 */
#include "sigframe.h"

#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#include "compat.h"
#include "xstate.h"

struct frame_context {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15, di, si, bp, bx, dx, ax, cx, sp, ip, flags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};

struct frame {
	uint64_t return_address;
	uint64_t uc_flags, uc_link;
	struct {
		uint64_t sp;
		int32_t flags;
		uint64_t size;
	} uc_stack;
	struct frame_context context;
	uint64_t sigmask;
	uint8_t siginfo[128];
};

/* What the kernel keeps in the part of the FXSAVE area that software may use. */
struct fpx_sw_bytes {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, padding[7];
};

#define FP_XSTATE_MAGIC1 0x46505853u
#define FP_XSTATE_MAGIC2 0x46505845u
#define UC_FLAGS 7 /* UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS */
#define POP_WORDS 2 /* words before the frame when pop_rax leads home */

/* syscall, any number of xor reg,reg, ret */
static bool is_syscall_ret(const uint8_t *c, size_t len)
{
	size_t i = 2;

	if (len < 3 || c[0] != 0x0f || c[1] != 0x05)
		return false;
	while (i + 3 < len) {
		if ((c[i] == 0x31 || c[i] == 0x33) && c[i + 1] >= 0xc0)
			i += 2;
		else if (c[i] >= 0x40 && c[i] <= 0x4f && (c[i + 1] == 0x31 || c[i + 1] == 0x33) && c[i + 2] >= 0xc0)
			i += 3;
		else
			break;
	}
	return i < len && c[i] == 0xc3;
}

/* What memmem(3) does, for two bytes many times as fast. */
static const uint8_t *find_pair(const uint8_t *at, const uint8_t *end, uint8_t first, uint8_t second)
{
	while (at + 1 < end && (at = memchr(at + 1, second, end - at - 1)))
		if (at[-1] == first)
			return at - 1;
	return NULL;
}

/* pop %reg; ret */
static void find_pop(uint64_t *gadget, uint8_t pop, const uint8_t *code, size_t len, uint64_t address)
{
	const uint8_t *found = *gadget ? NULL : find_pair(code, code + len, pop, 0xc3);

	if (found)
		*gadget = address + (found - code);
}

/* int $0x80, any number of pop %reg, ret. Returns how many pops, or -1. */
static int int80_pops(const uint8_t *c, size_t len)
{
	size_t i = 2;

	while (i < len && i < 10 && c[i] >= 0x58 && c[i] <= 0x5f && c[i] != 0x5c)
		i++;
	return i < len && c[i] == 0xc3 ? (int)i - 2 : -1;
}

static void scan_compat(struct gadgets *g, const uint8_t *code, size_t len, uint64_t address)
{
	static const uint8_t mov[] = { 0xb8, 0xad, 0, 0, 0 };
	const uint8_t *end = code + len;

	for (const uint8_t *c = code; (c = find_pair(c, end, 0xcd, 0x80)); c++) {
		int pops = int80_pops(c, end - c);

		if (!g->int80_ret && pops >= 0) {
			g->int80_ret = address + (c - code);
			g->int80_pops = pops;
		}
		if (!g->compat_sigreturn && c - code >= 5 && !memcmp(c - 5, mov, sizeof(mov)))
			g->compat_sigreturn = address + (c - code) - 5;
	}
}

void gadgets_scan(struct gadgets *g, const uint8_t *code, size_t len, uint64_t address)
{
	if (g->compat) {
		scan_compat(g, code, len, address);
		return;
	}
	static const uint8_t mov32[] = { 0xb8, SYS_rt_sigreturn, 0, 0, 0 };
	static const uint8_t mov64[] = { 0x48, 0xc7, 0xc0, SYS_rt_sigreturn, 0, 0, 0 };
	const uint8_t *end = code + len;

	for (const uint8_t *c = code; (c = find_pair(c, end, 0x0f, 0x05)); c++) {
		if (!g->syscall_ret && is_syscall_ret(c, end - c))
			g->syscall_ret = address + (c - code);
		if (!g->sigreturn && c - code >= 7 && !memcmp(c - 7, mov64, sizeof(mov64)))
			g->sigreturn = address + (c - code) - 7;
		if (!g->sigreturn && c - code >= 5 && !memcmp(c - 5, mov32, sizeof(mov32)))
			g->sigreturn = address + (c - code) - 5;
		if (g->syscall_ret && g->sigreturn)
			break;
	}
	find_pop(&g->pop_rax, 0x58, code, len, address);
	find_pop(&g->pop_rdi, 0x5f, code, len, address);
	find_pop(&g->pop_rsi, 0x5e, code, len, address);
}

bool gadgets_complete(const struct gadgets *g)
{
	return g->compat ? g->int80_ret && g->compat_sigreturn : g->syscall_ret && (g->sigreturn || g->pop_rax);
}

uint64_t gadgets_call(const struct gadgets *g)
{
	return g->compat ? g->int80_ret : g->syscall_ret;
}

size_t sigframe_size(size_t xstate_len)
{
	return 600 + xstate_len; /* of either kind */
}

static void fill_context(struct frame_context *c, const struct user_regs_struct *regs, uint64_t fpstate)
{
	*c = (struct frame_context){
		.r8 = regs->r8,
		.r9 = regs->r9,
		.r10 = regs->r10,
		.r11 = regs->r11,
		.r12 = regs->r12,
		.r13 = regs->r13,
		.r14 = regs->r14,
		.r15 = regs->r15,
		.di = regs->rdi,
		.si = regs->rsi,
		.bp = regs->rbp,
		.bx = regs->rbx,
		.dx = regs->rdx,
		.ax = regs->rax,
		.cx = regs->rcx,
		.sp = regs->rsp,
		.ip = regs->rip,
		.flags = regs->eflags,
		.cs = regs->cs,
		.gs = regs->gs,
		.fs = regs->fs,
		.ss = regs->ss,
		.fpstate = fpstate,
	};
}

size_t sigframe_put_xstate(uint8_t *to, const void *xstate, size_t xstate_len)
{
	struct fpx_sw_bytes sw = { .magic1 = FP_XSTATE_MAGIC1, .xstate_size = xstate_len };

	memcpy(to, xstate, xstate_len);
	memcpy(&sw.xfeatures, (const uint8_t *)xstate + XSTATE_SW_FEATURES, sizeof(sw.xfeatures));
	sw.extended_size = xstate_len + sizeof(FP_XSTATE_MAGIC2);
	memcpy(to + XSTATE_SW_FEATURES, &sw, sizeof(sw));
	memcpy(to + xstate_len, &(uint32_t){ FP_XSTATE_MAGIC2 }, 4);
	return xstate_len + 4;
}

size_t sigframe_build(void *buf, uint64_t address, const struct gadgets *g, const struct user_regs_struct *regs,
		      uint64_t sigmask, const void *xstate, size_t xstate_len)
{
	size_t before = g->sigreturn ? 0 : POP_WORDS * 8;
	uint64_t fpstate = (address + before + sizeof(struct frame) + 63) & ~63ul;
	uint8_t *fp = (uint8_t *)buf + (fpstate - address);
	struct frame f = {
		.return_address = g->sigreturn ? g->sigreturn : g->syscall_ret,
		.uc_flags = UC_FLAGS,
		.uc_stack.flags = SIGFRAME_BAD_STACK,
		.sigmask = sigmask,
	};
	if (g->compat)
		return compat_frame_build(buf, address, g, regs, sigmask, xstate, xstate_len);
	if (before)
		memcpy(buf, (uint64_t[]){ g->pop_rax, SYS_rt_sigreturn }, before);
	fill_context(&f.context, regs, fpstate);
	memcpy((uint8_t *)buf + before, &f, sizeof(f));
	memset((uint8_t *)buf + before + sizeof(f), 0, fp - ((uint8_t *)buf + before + sizeof(f)));
	return fp - (uint8_t *)buf + sigframe_put_xstate(fp, xstate, xstate_len);
}

size_t chain_build(uint64_t *words, const struct gadgets *g, const struct chain_call *calls, size_t n)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		words[at++] = g->pop_rax;
		words[at++] = calls[i].nr;
		words[at++] = g->pop_rdi;
		words[at++] = calls[i].args[0];
		words[at++] = g->pop_rsi;
		words[at++] = calls[i].args[1];
		words[at++] = g->syscall_ret;
	}
	return at;
}
