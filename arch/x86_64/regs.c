/*
 * Registers in core images. Does not handle: AMX tiles and shadow stacks, which the image format or the
 * program has no place for yet.
 */
#include "regs.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "compat.h"
#include "xstate.h"

/* The legacy region of an XSAVE area (FXSAVE). */
struct legacy {
	uint16_t cwd, swd, twd, fop;
	uint64_t rip, rdp;
	uint32_t mxcsr, mxcsr_mask;
	uint32_t st[32], xmm[64];
};

struct component {
	int bit;
	void *to; /* in struct regs_image */
	size_t size; /* bytes in the image; the CPU's component may be longer */
};

/* Each register of struct user_regs_struct and its field in the image. */
/* clang-format off */
#define EACH_REGISTER(X) \
	X(r15, r15) X(r14, r14) X(r13, r13) X(r12, r12) X(bp, rbp) X(bx, rbx) X(r11, r11) X(r10, r10) \
	X(r9, r9) X(r8, r8) X(ax, rax) X(cx, rcx) X(dx, rdx) X(si, rsi) X(di, rdi) X(orig_ax, orig_rax) \
	X(ip, rip) X(cs, cs) X(flags, eflags) X(sp, rsp) X(ss, ss) X(fs_base, fs_base) \
	X(gs_base, gs_base) X(ds, ds) X(es, es) X(fs, fs) X(gs, gs)
/* clang-format on */

static void general_to_image(UserX86RegsEntry *e, const struct user_regs_struct *regs)
{
	user_x86_regs_entry__init(e);
#define X(field, reg) e->field = regs->reg;
	EACH_REGISTER(X)
#undef X
	if (regs_compat(regs)) /* they follow from the selectors */
		e->fs_base = e->gs_base = 0;
	e->has_mode = true;
	e->mode = regs_compat(regs) ? USER_X86_REGS_MODE__COMPAT : USER_X86_REGS_MODE__NATIVE;
}

static void legacy_to_image(struct regs_image *img, const struct legacy *l)
{
	user_x86_fpregs_entry__init(&img->fp);
	img->fp.cwd = l->cwd;
	img->fp.swd = l->swd;
	img->fp.twd = l->twd;
	img->fp.fop = l->fop;
	img->fp.rip = l->rip;
	img->fp.rdp = l->rdp;
	img->fp.mxcsr = l->mxcsr;
	img->fp.mxcsr_mask = l->mxcsr_mask;
	memcpy(img->st, l->st, sizeof(img->st));
	memcpy(img->xmm, l->xmm, sizeof(img->xmm));
	img->fp.n_st_space = 32;
	img->fp.st_space = img->st;
	img->fp.n_xmm_space = 64;
	img->fp.xmm_space = img->xmm;
}

/* Copies a component that this CPU has into its array; returns how many elements the array has then. */
static size_t get_component(int bit, void *to, size_t bytes, size_t element, const uint8_t *xstate, size_t len)
{
	size_t offset = xstate_layout()->component[bit].offset, size = xstate_layout()->component[bit].size;

	if (!(xstate_layout()->features & XSTATE_BIT(bit)) || offset + size > len)
		return 0;
	memset(to, 0, bytes);
	memcpy(to, xstate + offset, size < bytes ? size : bytes);
	return bytes / element;
}

static void xsave_to_image(struct regs_image *img, const uint8_t *xstate, size_t len)
{
	UserX86XsaveEntry *x = &img->xsave;

	user_x86_xsave_entry__init(x);
	memcpy(&x->xstate_bv, xstate + XSTATE_HEADER, sizeof(x->xstate_bv));
#define GET(bit, array, field)                                                                                         \
	x->field = img->array;                                                                                         \
	x->n_##field = get_component(bit, img->array, sizeof(img->array), sizeof(img->array[0]), xstate, len)
	GET(XSTATE_YMM, ymmh, ymmh_space);
	GET(XSTATE_BNDREGS, bndreg, bndreg_state);
	GET(XSTATE_BNDCSR, bndcsr, bndcsr_state);
	GET(XSTATE_OPMASK, opmask, opmask_reg);
	GET(XSTATE_ZMM_HI256, zmm_upper, zmm_upper);
	GET(XSTATE_HI16_ZMM, hi16_zmm, hi16_zmm);
	GET(XSTATE_PKRU, pkru, pkru);
#undef GET
	img->fp.xsave = x;
}

static void tls_to_image(struct regs_image *img, const struct user_desc tls[TLS_ENTRIES])
{
	for (int i = 0; i < TLS_ENTRIES; i++) {
		UserDescT *d = &img->tls[i];

		user_desc_t__init(d);
		d->entry_number = tls[i].entry_number;
		d->base_addr = tls[i].base_addr;
		d->limit = tls[i].limit;
		d->seg_32bit = tls[i].seg_32bit;
		d->contents_h = tls[i].contents & 2;
		d->contents_l = tls[i].contents & 1;
		d->read_exec_only = tls[i].read_exec_only;
		d->limit_in_pages = tls[i].limit_in_pages;
		d->seg_not_present = tls[i].seg_not_present;
		d->usable = tls[i].useable;
		img->tls_list[i] = d;
	}
	img->info.n_tls = TLS_ENTRIES;
	img->info.tls = img->tls_list;
}

int regs_to_image(struct regs_image *img, const struct user_regs_struct *regs, const void *xstate, size_t len,
		  const struct user_desc tls[TLS_ENTRIES], uint64_t clear_child_tid)
{
	thread_info_x86__init(&img->info);
	img->info.clear_tid_addr = clear_child_tid;
	general_to_image(&img->general, regs);
	img->info.gpregs = &img->general;
	legacy_to_image(img, xstate);
	img->info.fpregs = &img->fp;
	if (len > XSTATE_HEADER)
		xsave_to_image(img, xstate, len);
	tls_to_image(img, tls);
	return img->xsave.xstate_bv & XSTATE_BIT(XSTATE_TILEDATA) ? -ENOTSUP : 0;
}

/* Puts an array of the image where this CPU keeps the component. Returns false when the array is too long. */
static bool put_component(int bit, const void *from, size_t n, size_t element, size_t max, uint8_t *xstate)
{
	size_t offset = xstate_layout()->component[bit].offset, size = xstate_layout()->component[bit].size;

	if (n * element > max)
		return false;
	if (n && (xstate_layout()->features & XSTATE_BIT(bit)))
		memcpy(xstate + offset, from, n * element < size ? n * element : size);
	return true;
}

static bool xsave_from_image(const UserX86XsaveEntry *x, uint8_t *xstate)
{
	bool ok = true;

#define PUT(bit, field, max) ok = put_component(bit, x->field, x->n_##field, sizeof(x->field[0]), max, xstate) && ok
	PUT(XSTATE_YMM, ymmh_space, 256);
	PUT(XSTATE_BNDREGS, bndreg_state, 64);
	PUT(XSTATE_BNDCSR, bndcsr_state, 64);
	PUT(XSTATE_OPMASK, opmask_reg, 64);
	PUT(XSTATE_ZMM_HI256, zmm_upper, 512);
	PUT(XSTATE_HI16_ZMM, hi16_zmm, 1024);
	PUT(XSTATE_PKRU, pkru, 8);
#undef PUT
	return ok;
}

int regs_from_image(const ThreadInfoX86 *info, struct user_regs_struct *regs, void *xstate, size_t *len,
		    uint64_t *missing)
{
	const UserX86RegsEntry *e = info->gpregs;
	const UserX86FpregsEntry *fp = info->fpregs;
	uint64_t legacy = XSTATE_BIT(XSTATE_X87) | XSTATE_BIT(XSTATE_SSE);
	uint64_t used = legacy | (fp->xsave ? fp->xsave->xstate_bv : 0);
	struct legacy *l = xstate;

	if (fp->n_st_space != 32 || fp->n_xmm_space != 64)
		return -EBADMSG;
	memset(regs, 0, sizeof(*regs));
#define X(field, reg) regs->reg = e->field;
	EACH_REGISTER(X)
#undef X
	memset(xstate, 0, XSTATE_MAX);
	*l = (struct legacy){ fp->cwd, fp->swd, fp->twd, fp->fop, fp->rip, fp->rdp, fp->mxcsr, fp->mxcsr_mask };
	memcpy(l->st, fp->st_space, sizeof(l->st));
	memcpy(l->xmm, fp->xmm_space, sizeof(l->xmm));
	*len = xstate_size(xstate_layout()->features);
	*missing = used & ~xstate_layout()->features;
	if (fp->xsave && !xsave_from_image(fp->xsave, xstate))
		return -EBADMSG;
	memcpy((uint8_t *)xstate + XSTATE_HEADER, &used, sizeof(used));
	return *missing ? -ENOTSUP : 0;
}

/* Calls that the kernel ends with EINTR when a thread is only stopped, and that lose nothing when issued again. */
static bool reissued_after_eintr(long nr)
{
	switch (nr) {
	/* Sockets with a timeout of their own (SO_RCVTIMEO, SO_SNDTIMEO): nothing was transferred yet. */
	case SYS_read:
	case SYS_readv:
	case SYS_write:
	case SYS_writev:
	case SYS_sendto:
	case SYS_sendmsg:
	case SYS_sendmmsg:
	case SYS_connect:
	case SYS_io_uring_enter:
	case SYS_epoll_wait:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
	case SYS_semop:
	case SYS_semtimedop:
	case SYS_rt_sigtimedwait:
	case SYS_io_getevents:
	case SYS_io_pgetevents:
	case SYS_accept:
	case SYS_accept4:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg:
		return true;
	}
	return false;
}

/* Codes by which the kernel tells itself how a call goes on after a signal; never seen by user space. */
enum { ERESTARTSYS = 512, ERESTARTNOINTR = 513, ERESTARTNOHAND = 514, ERESTART_RESTARTBLOCK = 516 };

static bool is_issued_again(long nr, bool compat, long error, enum pending_signal pending)
{
	switch (error) {
	case ERESTARTSYS:
		return pending != SIGNAL_INTERRUPTS;
	case ERESTARTNOINTR:
		return true;
	case ERESTARTNOHAND:
		return pending == SIGNAL_NONE;
	case ERESTART_RESTARTBLOCK:
		/*
		 * The time that is left is known to the kernel only: the call anew takes the whole time again.
		 * A call that was interrupted before shows as restart_syscall: its number is gone.
		 */
		return pending == SIGNAL_NONE && nr != (compat ? COMPAT_restart_syscall : SYS_restart_syscall);
	case EINTR:
		return pending == SIGNAL_NONE && (compat ? compat_reissued_after_eintr(nr) : reissued_after_eintr(nr));
	}
	return false;
}

void regs_restart_call(struct user_regs_struct *regs, enum pending_signal pending)
{
	long nr = regs->orig_rax, error = -(long)regs->rax;

	if (nr < 0)
		return;
	if (is_issued_again(nr, regs_compat(regs), error, pending)) {
		regs->rax = nr;
		regs->rip -= 2; /* the length of the syscall instruction */
	} else if (error >= ERESTARTSYS && error <= ERESTART_RESTARTBLOCK) {
		regs->rax = -EINTR;
	}
	regs->orig_rax = -1;
}

void regs_undo_restart(struct user_regs_struct *regs, const uint8_t code[2])
{
	bool compat = regs_compat(regs);
	uint64_t restart = compat ? COMPAT_restart_syscall : SYS_restart_syscall;

	if (regs->rax != restart || memcmp(code, compat ? "\xcd\x80" : "\x0f\x05", 2))
		return;
	regs->rax = -ERESTART_RESTARTBLOCK;
	regs->rip += 2;
	if ((long)regs->orig_rax < 0) /* it is on the way there from an interrupt: the number is gone */
		regs->orig_rax = restart;
}
