/* Registers of a thread: from ptrace's form into thread_info_x86 of a core image and back. */
#ifndef CKPT_REGS_H
#define CKPT_REGS_H

#include <asm/ldt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

#include "core-x86.pb-c.h"

#define TLS_ENTRIES 3 /* GDT_ENTRY_TLS_ENTRIES */
#define TLS_FIRST 12 /* GDT_ENTRY_TLS_MIN */

/* A thread_info_x86 with all that it points to; put .info into a core_entry. */
struct regs_image {
	ThreadInfoX86 info;
	UserX86RegsEntry general;
	UserX86FpregsEntry fp;
	UserX86XsaveEntry xsave;
	UserDescT tls[TLS_ENTRIES], *tls_list[TLS_ENTRIES];
	uint32_t st[32], xmm[64], ymmh[64], pkru[2];
	uint64_t bndreg[8], bndcsr[2], opmask[8], zmm_upper[64], hi16_zmm[128];
};

/*
 * Fills img from the registers, the XSAVE area of len bytes in standard format and the three TLS descriptors.
 * img points into itself: do not copy it. Returns 0, or -ENOTSUP (not logged) when a component in use cannot
 * be expressed in the image (AMX tiles).
 */
int regs_to_image(struct regs_image *img, const struct user_regs_struct *regs, const void *xstate, size_t len,
		  const struct user_desc tls[TLS_ENTRIES], uint64_t clear_child_tid);

/*
 * The way back: registers, and the XSAVE area in standard format for this CPU in xstate, which has room for
 * XSTATE_MAX bytes; *len gets the bytes to hand to ptrace. Returns 0, -EBADMSG for a malformed message,
 * -ENOTSUP when the image uses features that this CPU lacks (not logged; *missing gets their XCR0 bits).
 */
int regs_from_image(const ThreadInfoX86 *info, struct user_regs_struct *regs, void *xstate, size_t *len,
		    uint64_t *missing);

/* What waits for a thread that is stopped inside a system call, as far as the call is concerned. */
enum pending_signal {
	SIGNAL_NONE,
	SIGNAL_RESTARTS, /* a handler with SA_RESTART */
	SIGNAL_INTERRUPTS, /* a handler without */
};

/*
 * Turns registers as ptrace shows them at an event stop into registers with which the thread can be started
 * anew: a system call that the stop interrupted is set to be issued again where the kernel would have done
 * so, and where it only gave up because of the stop. Otherwise it returns EINTR.
 */
void regs_restart_call(struct user_regs_struct *regs, enum pending_signal pending);
/*
 * Turns registers of a thread that is about to go on with a sleep by restart_syscall(2) into those that it had in the
 * sleep, as a stop there shows them. code: the two bytes at its instruction pointer. Others stay as they are.
 */
void regs_undo_restart(struct user_regs_struct *regs, const uint8_t code[2]);

#endif
