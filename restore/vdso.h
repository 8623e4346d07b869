/* Where this kernel puts its vDSO. */
#ifndef CKPT_RESTORE_VDSO_H
#define CKPT_RESTORE_VDSO_H

#include <stdint.h>

struct vdso_layout {
	uint64_t vvar_start; /* [vvar], [vvar_vclock]: everything of the kernel's below the code */
	uint64_t start, end; /* [vdso] */
};

/* Reads /proc/self/maps. Returns 0 or -errno (logged). */
int vdso_find(struct vdso_layout *layout);

#endif
