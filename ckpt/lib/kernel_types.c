/* The kernel's description of its types: a header, types one after the other, and the names that they refer to. */
#include "kernel_types.h"

#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

#define DEPTH 32 /* of types that only say something about others, or of arrays: more is not believed */

static const struct btf_type nothing; /* of the kind that is called unknown */

/* Bytes of what follows a type: one of these, and so many. -1: a kind that is not known. */
static long rest_size(const struct btf_type *t)
{
	static const struct {
		uint8_t once, each;
	} rests[] = {
		[BTF_KIND_INT] = { 4, 0 },
		[BTF_KIND_ARRAY] = { sizeof(struct btf_array), 0 },
		[BTF_KIND_STRUCT] = { 0, sizeof(struct btf_member) },
		[BTF_KIND_UNION] = { 0, sizeof(struct btf_member) },
		[BTF_KIND_ENUM] = { 0, sizeof(struct btf_enum) },
		[BTF_KIND_FUNC_PROTO] = { 0, sizeof(struct btf_param) },
		[BTF_KIND_VAR] = { sizeof(struct btf_var), 0 },
		[BTF_KIND_DATASEC] = { 0, sizeof(struct btf_var_secinfo) },
		[BTF_KIND_DECL_TAG] = { sizeof(struct btf_decl_tag), 0 },
		[BTF_KIND_ENUM64] = { 0, sizeof(struct btf_enum64) },
	};
	unsigned int kind = btf_kind(t);

	return kind > BTF_KIND_ENUM64 ? -1 : rests[kind].once + (long)rests[kind].each * btf_vlen(t);
}

/* Finds where each type is. */
static int index_types(struct kernel_types *k)
{
	size_t room = k->types_len / sizeof(struct btf_type) + 1; /* more cannot be */

	k->at = malloc(room * sizeof(*k->at));
	if (!k->at)
		return -ENOMEM;
	k->n = 1;
	for (size_t at = 0; at < k->types_len; k->n++) {
		const struct btf_type *t = (const struct btf_type *)(k->types + at);
		long rest = k->types_len - at < sizeof(*t) ? -1 : rest_size(t);

		if (rest < 0 || k->types_len - at - sizeof(*t) < (size_t)rest)
			return -EBADMSG;
		k->at[k->n] = at;
		at += sizeof(*t) + rest;
	}
	return 0;
}

int kernel_types_parse(struct kernel_types *k, void *data, size_t size)
{
	const struct btf_header *h = data;

	*k = (struct kernel_types){ .data = data, .size = size };
	if (size < sizeof(*h) || h->magic != BTF_MAGIC || h->hdr_len > size || h->hdr_len < sizeof(*h))
		return -EBADMSG;
	size -= h->hdr_len;
	if (h->type_off > size || h->type_len > size - h->type_off || h->str_off > size ||
	    h->str_len > size - h->str_off || !h->str_len || h->type_off % 4)
		return -EBADMSG;
	k->types = (const char *)data + h->hdr_len + h->type_off;
	k->types_len = h->type_len;
	k->names = (const char *)data + h->hdr_len + h->str_off;
	k->names_len = h->str_len;
	return k->names[k->names_len - 1] ? -EBADMSG : index_types(k);
}

/* Before Linux 6.16 it can be read only. */
static int read_into(int fd, char *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = read(fd, data + done, size - done);

		if (n <= 0)
			return n ? -errno : -EIO;
		done += n;
	}
	return 0;
}

int kernel_types_load(struct kernel_types *k)
{
	_cleanup_close_ int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	struct stat st;
	int err = 0;

	*k = (struct kernel_types){};
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	void *data = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED) {
		data = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (data == MAP_FAILED)
			return -errno;
		err = read_into(fd, data, st.st_size);
	}
	int parsed = kernel_types_parse(k, data, st.st_size);
	err = err ? err : parsed;
	if (err)
		kernel_types_free(k);
	return err;
}

void kernel_types_free(struct kernel_types *k)
{
	if (k->data)
		munmap(k->data, k->size);
	free(k->at);
	*k = (struct kernel_types){};
}

const struct btf_type *kernel_type(const struct kernel_types *k, uint32_t number)
{
	return number && number < k->n ? (const struct btf_type *)(k->types + k->at[number]) : &nothing;
}

uint32_t kernel_type_bare(const struct kernel_types *k, uint32_t number)
{
	for (int i = 0; i < DEPTH; i++) {
		const struct btf_type *t = kernel_type(k, number);

		if (!btf_is_mod(t) && !btf_is_typedef(t))
			break;
		number = t->type;
	}
	return number;
}

const char *kernel_type_name(const struct kernel_types *k, uint32_t name_off)
{
	return name_off < k->names_len ? k->names + name_off : "";
}

size_t kernel_type_size(const struct kernel_types *k, uint32_t number)
{
	size_t elements = 1;

	for (int i = 0; i < DEPTH; i++) {
		const struct btf_type *t = kernel_type(k, kernel_type_bare(k, number));

		if (btf_is_ptr(t))
			return elements * sizeof(void *);
		if (btf_is_int(t) || btf_is_composite(t) || btf_is_any_enum(t) || btf_is_float(t))
			return elements * t->size;
		if (!btf_is_array(t))
			return 0;
		elements *= btf_array(t)->nelems;
		number = btf_array(t)->type;
	}
	return 0;
}

int kernel_type_find(const struct kernel_types *k, const char *name, unsigned int kind)
{
	for (size_t i = 1; i < k->n; i++) {
		const struct btf_type *t = kernel_type(k, i);

		if (btf_kind(t) == kind && !strcmp(kernel_type_name(k, t->name_off), name))
			return i;
	}
	return -ENOENT;
}
