/* Where this kernel puts its vDSO, and what becomes of the one that a task had. */
#ifndef CKPT_RESTORE_VDSO_H
#define CKPT_RESTORE_VDSO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image_messages.h"
#include "restorer_abi.h"

/* The vDSO of this kernel: its areas follow each other. */
struct vdso_layout {
	size_t n_data; /* [vvar], [vvar_vclock] (6.13), ... */
	uint64_t data[VDSO_PARTS - 1]; /* bytes of each, in this order; they begin at 0 */
	uint64_t code; /* offset of [vdso] */
	uint64_t code_size; /* 0: there is none */
	const uint8_t *bytes; /* of the code */
};

/* The vDSO of a task: as its images show it, then what is to be done. */
struct plan_vdso {
	const VmaEntry *data[VDSO_PARTS - 1], *code;
	size_t n_data, n_code;
	uint8_t *bytes; /* of the code, those that the image holds */
	uint64_t size, pages; /* bytes; bit n: page n is there */
	uint64_t hint; /* where the kernel shall put it; 0: nowhere */
	uint64_t total; /* bytes that it takes there */
	size_t n_moves;
	struct restorer_vdso_move moves[VDSO_PARTS]; /* from there to where the task has it */
	bool kept; /* the code of the image stays as ordinary memory, whose functions lead to the kernel's */
};

/* Finds the vDSO of this process in /proc/self/maps. Returns 0 or -errno (logged). */
int vdso_find(struct vdso_layout *layout);
/*
 * The same of the one that 32-bit programs get: it takes the place of ours for a moment, and is copied into bytes
 * (VDSO_MAX of them), which must live as long as the layout. A kernel without: code_size is 0.
 */
int vdso_find_compat(struct vdso_layout *layout, uint8_t *bytes);

/* Whether [start, start + size) meets what the vDSO of the task occupies at any time; then *end is behind that. */
bool vdso_occupies(const struct plan_vdso *vdso, uint64_t start, uint64_t size, uint64_t *end);

#endif
