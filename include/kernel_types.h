/*
 * The kernel's description of its own types (BTF: Documentation/bpf/btf.rst), as far as it takes to find members of
 * structs. libbpf can do more, but copies and checks all of it first: this looks at it where it is.
 */
#ifndef CKPT_KERNEL_TYPES_H
#define CKPT_KERNEL_TYPES_H

#include <linux/btf.h>
#include <stddef.h>
#include <stdint.h>

struct kernel_types {
	const uint8_t *data; /* all of it */
	size_t size;
	const uint8_t *types; /* the first one has number 1 */
	const char *strings;
	uint32_t strings_len;
	uint32_t *at; /* where type number N lies: types + at[N]; owned */
	uint32_t n; /* numbers are below */
};

/* Maps and reads what the running kernel tells. Returns 0 or -errno (not logged). */
int kernel_types_load(struct kernel_types *k);
/* Looks at data, which must stay there. Returns 0, -EBADMSG, or -ENOMEM (not logged). */
int kernel_types_index(struct kernel_types *k, const void *data, size_t size);
void kernel_types_free(struct kernel_types *k);

/* A type by its number; that of no type (void) for numbers that there are not. */
const struct btf_type *kernel_type(const struct kernel_types *k, uint32_t number);
const char *kernel_type_name(const struct kernel_types *k, uint32_t name_off);
/* The number of a type by name and kind (BTF_KIND_*), or -ENOENT. */
int kernel_type_find(const struct kernel_types *k, const char *name, unsigned int kind);
/* What a type is, without the names and qualifiers that it goes by; its number. */
uint32_t kernel_type_resolve(const struct kernel_types *k, uint32_t number);
/* Bytes of a thing of the type, or -ENOENT. */
long kernel_type_size(const struct kernel_types *k, uint32_t number);

#endif
