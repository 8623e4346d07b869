/*
 * The way home: a signal frame on a thread's stack whose return address leads into rt_sigreturn. Whoever
 * returns (`ret`) with the stack pointer at its start gets all registers, the signal mask and the extended
 * registers back that the frame holds. It needs no help from a tracer. See man 2 sigreturn.
 */
#ifndef CKPT_SIGFRAME_H
#define CKPT_SIGFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

/* Instructions that are already in a task and that injection uses. Addresses are the task's; 0: not found. */
struct gadgets {
	uint64_t syscall_ret; /* syscall; any number of xor reg,reg; ret */
	uint64_t sigreturn; /* mov $15,%eax; syscall */
	uint64_t pop_rax, pop_rdi, pop_rsi; /* pop %reg; ret: with them stack words make calls on the way home */
	/* Of a 32-bit program, which has no use for those above: */
	bool compat;
	uint64_t int80_ret; /* int $0x80; some pops; ret */
	unsigned int int80_pops;
	uint64_t compat_sigreturn; /* mov $173,%eax; int $0x80 */
};

/* Looks for gadgets that are still missing (of a 32-bit program: g->compat) in the code that stands at the address. */
void gadgets_scan(struct gadgets *g, const uint8_t *code, size_t len, uint64_t address);
/* Whether they suffice for remote calls with a way home. */
bool gadgets_complete(const struct gadgets *g);
/* The instruction that makes a system call. */
uint64_t gadgets_call(const struct gadgets *g);

/* A system call of two arguments that is made by stack words alone. */
struct chain_call {
	long nr;
	uint64_t args[2];
};

#define CHAIN_WORDS 7 /* for each call */

/*
 * Writes the stack words for a row of calls. They must end where a way home begins, and are entered by a
 * return to the first of them. The gadgets pop_* must be there. Returns the number of words.
 */
size_t chain_build(uint64_t *words, const struct gadgets *g, const struct chain_call *calls, size_t n);

#define SIGFRAME_MAX (16384 + 1024) /* bytes, with AMX */

#define SIGFRAME_BAD_STACK 0x7fff /* flags that sigaltstack refuses: the alternate stack stays as it is */

/* Puts an XSAVE area into a signal frame, with the words that the kernel looks for. Returns the bytes. */
size_t sigframe_put_xstate(uint8_t *to, const void *xstate, size_t xstate_len);
/* How many bytes a way home takes, alignment included, for an XSAVE area of xstate_len bytes. */
size_t sigframe_size(size_t xstate_len);
/*
 * Builds the way home that is to lie at the address (8-byte aligned) into buf, which has room for
 * sigframe_size(xstate_len). xstate is as ptrace returns it (NT_X86_XSTATE). Returns the bytes to write.
 */
size_t sigframe_build(void *buf, uint64_t address, const struct gadgets *g, const struct user_regs_struct *regs,
		      uint64_t sigmask, const void *xstate, size_t xstate_len);

#endif
