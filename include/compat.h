/*
 * 32-bit programs (i386) on x86_64: their system calls have other numbers and registers, their signal frames another
 * form. A thread runs 32-bit code when its code segment says so.
 */
#ifndef CKPT_COMPAT_H
#define CKPT_COMPAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "sigframe.h"

#define CS_NATIVE 0x33 /* __USER_CS */
#define CS_COMPAT 0x23 /* __USER32_CS */
#define SS_USER 0x2b /* __USER_DS */
#define COMPAT_SPACE_END 0xffffe000ul /* nothing of a 32-bit program is mapped at or above */

static inline bool regs_compat(const struct user_regs_struct *regs)
{
	return regs->cs == CS_COMPAT;
}

/* The 32-bit number of a system call that is made remotely, -1: none. */
long compat_number(long nr);
/* Puts the arguments of a 32-bit system call into registers. */
void compat_set_args(struct user_regs_struct *regs, const uint64_t args[6]);

/* Numbers of 32-bit calls: those that matter when they were interrupted, and some that we make. */
enum {
	COMPAT_restart_syscall = 0,
	COMPAT_close = 6,
	COMPAT_munmap = 91,
	COMPAT_nanosleep = 162,
	COMPAT_poll = 168,
	COMPAT_rt_sigreturn = 173,
	COMPAT_rt_sigaction = 174,
	COMPAT_futex = 240,
	COMPAT_clock_nanosleep = 267,
	COMPAT_clock_nanosleep_time64 = 407,
	COMPAT_futex_time64 = 422,
};

/* Like those of regs.c for 64-bit calls: whether the stop alone made it fail with EINTR, and it loses nothing. */
bool compat_reissued_after_eintr(long nr);

/*
 * The way home of a 32-bit thread, as sigframe_build makes it for others: to be entered by the gadget int80_ret with
 * the stack pointer at its start. Without xstate the extended registers get lost: for steps before the last.
 */
size_t compat_frame_build(void *buf, uint64_t address, const struct gadgets *g, const struct user_regs_struct *regs,
			  uint64_t sigmask, const void *xstate, size_t xstate_len);

#endif
