/* The extended registers of this CPU: which there are and where they stand in an XSAVE area. */
#ifndef CKPT_XSTATE_H
#define CKPT_XSTATE_H

#include <stddef.h>
#include <stdint.h>

/* State components, as XCR0 numbers them (Intel SDM vol. 1, chapter 13). */
enum {
	XSTATE_X87 = 0,
	XSTATE_SSE = 1,
	XSTATE_YMM = 2,
	XSTATE_BNDREGS = 3,
	XSTATE_BNDCSR = 4,
	XSTATE_OPMASK = 5,
	XSTATE_ZMM_HI256 = 6,
	XSTATE_HI16_ZMM = 7,
	XSTATE_PKRU = 9,
	XSTATE_TILECFG = 17,
	XSTATE_TILEDATA = 18,
	XSTATE_COMPONENTS = 20,
};

#define XSTATE_BIT(component) (1ul << (component))
#define XSTATE_MAX 16384 /* room for any XSAVE area, AMX too; bytes */
#define XSTATE_HEADER 512 /* offset of the header: xstate_bv, xcomp_bv */
#define XSTATE_SW_FEATURES 464 /* where ptrace puts the mask of features that the thread may use */

struct xstate_layout {
	uint64_t features; /* enabled by the kernel: XCR0 */
	struct {
		uint32_t offset, size; /* bytes; size 0: not there */
	} component[XSTATE_COMPONENTS];
};

/* The layout on this CPU. Owned by the module. */
const struct xstate_layout *xstate_layout(void);
/* Bytes of an area in standard format that holds the features. */
size_t xstate_size(uint64_t features);

#endif
