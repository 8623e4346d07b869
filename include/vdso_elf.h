/*
 * The functions of a vDSO (man 7 vdso), and how those of one kernel's are made to lead to another's. Works on bytes
 * of 64-bit and 32-bit x86 vDSOs; those of an image are hostile: nothing outside of them is touched, whatever they say.
 */
#ifndef CKPT_VDSO_ELF_H
#define CKPT_VDSO_ELF_H

#include <stddef.h>
#include <stdint.h>

#define VDSO_FUNCTIONS 64
#define VDSO_JUMP 5 /* bytes that a jump takes */
#define VDSO_MAX (64u << 10) /* bytes: many times as large as any */

struct vdso_function {
	const char *name; /* in the vDSO, where it ends with a zero byte */
	uint64_t offset, size; /* of its code in the vDSO, bytes */
};

struct vdso_code {
	uint8_t *bytes;
	size_t size;
	uint64_t address; /* where it is, or will be, in the task */
};

/* Lists the functions that a vDSO exports. Returns how many, at most VDSO_FUNCTIONS, or -EBADMSG (not logged). */
int vdso_functions(const uint8_t *bytes, size_t size, struct vdso_function list[VDSO_FUNCTIONS]);

/*
 * Replaces the first instructions of each function of the old vDSO by a jump to the same function of the new one,
 * or, where the new one lacks it, by the system call that it stands for. Returns 0 or -errno (not logged): -EBADMSG:
 * the old one is malformed; -ERANGE: they are more than 2 GiB apart; -ENOTSUP: there is nothing that the function
 * *lacking could lead to.
 */
int vdso_redirect(const struct vdso_code *old, const struct vdso_code *new, const char **lacking);

/*
 * CRIU writes a mark of its own over the start of a vDSO to which it redirected another one. Puts the ELF header back
 * if one lies in these bytes, at least VDSO_MARK of them. Returns whether it did.
 */
#define VDSO_MARK 40 /* bytes */
int vdso_unmark(uint8_t *bytes);

#endif
