/*
 * The kernel's own description of its types (BTF, Documentation/bpf/btf.rst), as far as it takes to find where a member
 * lies. libbpf reads it, too, but copies it all before, which takes 3 ms; here it is mapped where that is possible.
 */
#ifndef CKPT_KERNEL_TYPES_H
#define CKPT_KERNEL_TYPES_H

#include <stddef.h>
#include <stdint.h>

struct btf_type;

struct kernel_types {
	void *data; /* mapped; owned */
	size_t size;
	const char *types, *names; /* in it */
	size_t types_len, names_len;
	uint32_t *at; /* of each type, by its number from 1: where in types it is. Owned */
	size_t n; /* one more than the last number */
};

/* Returns 0 or -errno (not logged). */
int kernel_types_load(struct kernel_types *k);
/* The same of a file: takes data, which was mapped. -EBADMSG: it is none. */
int kernel_types_parse(struct kernel_types *k, void *data, size_t size);
void kernel_types_free(struct kernel_types *k);

/* A type by its number, with what is only said about it (const, volatile, names of it) left out if bare. Never NULL. */
const struct btf_type *kernel_type(const struct kernel_types *k, uint32_t number);
uint32_t kernel_type_bare(const struct kernel_types *k, uint32_t number);
/* "": it has none. */
const char *kernel_type_name(const struct kernel_types *k, uint32_t name_off);
/* Bytes, or 0 where that is not known. */
size_t kernel_type_size(const struct kernel_types *k, uint32_t number);
/* The number of the type of a kind (BTF_KIND_*) with that name, or -ENOENT. */
int kernel_type_find(const struct kernel_types *k, const char *name, unsigned int kind);

#endif
