/* The types of the kernel: /sys/kernel/btf/vmlinux, a list of types of differing lengths, and their names. */
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

#define TYPES "/sys/kernel/btf/vmlinux"
#define DEPTH 32 /* of names for names, and arrays of arrays */

/* Bytes of the description of a type, or 0 when it is of no kind that is known. */
static size_t description_size(const struct btf_type *t)
{
	static const uint8_t fixed[] = {
		[BTF_KIND_INT] = sizeof(uint32_t),
		[BTF_KIND_ARRAY] = sizeof(struct btf_array),
		[BTF_KIND_VAR] = sizeof(struct btf_var),
		[BTF_KIND_DECL_TAG] = sizeof(struct btf_decl_tag),
	};
	static const uint8_t each[] = {
		[BTF_KIND_STRUCT] = sizeof(struct btf_member),	  [BTF_KIND_UNION] = sizeof(struct btf_member),
		[BTF_KIND_ENUM] = sizeof(struct btf_enum),	  [BTF_KIND_ENUM64] = sizeof(struct btf_enum64),
		[BTF_KIND_FUNC_PROTO] = sizeof(struct btf_param), [BTF_KIND_DATASEC] = sizeof(struct btf_var_secinfo),
	};
	unsigned int kind = btf_kind(t);

	if (kind == BTF_KIND_UNKN || kind > BTF_KIND_ENUM64)
		return 0;
	return sizeof(*t) + (kind < sizeof(fixed) ? fixed[kind] : 0) +
	       (kind < sizeof(each) ? (size_t)each[kind] * btf_vlen(t) : 0);
}

/* Notes where each type lies. */
static int index_types(struct kernel_types *k, size_t len)
{
	k->at = malloc((len / sizeof(struct btf_type) + 1) * sizeof(*k->at));
	if (!k->at)
		return -ENOMEM;
	k->n = 1;
	for (size_t at = 0; at < len;) {
		const struct btf_type *t = (const void *)(k->types + at);
		size_t size = len - at >= sizeof(*t) ? description_size(t) : 0;

		if (!size || size > len - at)
			return -EBADMSG;
		k->at[k->n++] = at;
		at += size;
	}
	return 0;
}

int kernel_types_index(struct kernel_types *k, const void *data, size_t size)
{
	const struct btf_header *h = data;

	*k = (struct kernel_types){ .n = 1 };
	if (size < sizeof(*h) || h->magic != BTF_MAGIC || h->hdr_len < sizeof(*h) || h->hdr_len > size)
		return -EBADMSG;
	size_t rest = size - h->hdr_len;
	if (h->type_off % 4 || h->hdr_len % 4 || h->type_off > rest || h->type_len > rest - h->type_off ||
	    h->str_off > rest || !h->str_len || h->str_len > rest - h->str_off)
		return -EBADMSG;
	k->types = (const uint8_t *)data + h->hdr_len + h->type_off;
	k->strings = (const char *)data + h->hdr_len + h->str_off;
	k->strings_len = h->str_len;
	if (k->strings[0] || k->strings[h->str_len - 1])
		return -EBADMSG;
	int err = index_types(k, h->type_len);
	if (err)
		free(take_ptr(k->at));
	return err;
}

/* Maps the file, where the kernel lets it be mapped (6.16), or a copy. */
static void *get_data(int fd, size_t size)
{
	void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
	size_t have = 0;
	ssize_t n = 1;

	if (data != MAP_FAILED)
		return data;
	data = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	while (data != MAP_FAILED && have < size && n > 0) {
		n = read(fd, (char *)data + have, size - have);
		have += n > 0 ? n : 0;
	}
	if (data == MAP_FAILED || have == size)
		return data;
	munmap(data, size);
	return MAP_FAILED;
}

int kernel_types_load(struct kernel_types *k)
{
	_cleanup_close_ int fd = open(TYPES, O_RDONLY | O_CLOEXEC);
	struct stat st;

	*k = (struct kernel_types){};
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	void *data = get_data(fd, st.st_size);
	if (data == MAP_FAILED)
		return -ENOMEM;
	int err = kernel_types_index(k, data, st.st_size);
	k->data = data;
	k->size = st.st_size;
	if (err)
		kernel_types_free(k);
	return err;
}

void kernel_types_free(struct kernel_types *k)
{
	free(take_ptr(k->at));
	if (k->data)
		munmap((void *)take_ptr(k->data), k->size);
}

const struct btf_type *kernel_type(const struct kernel_types *k, uint32_t number)
{
	static const struct btf_type nothing;

	return number && number < k->n ? (const void *)(k->types + k->at[number]) : &nothing;
}

const char *kernel_type_name(const struct kernel_types *k, uint32_t name_off)
{
	return name_off < k->strings_len ? k->strings + name_off : "";
}

int kernel_type_find(const struct kernel_types *k, const char *name, unsigned int kind)
{
	size_t len = strlen(name) + 1;
	const char *end = k->strings + k->strings_len, *at = k->strings + 1;

	/* each name is there once, and may be the end of another */
	while ((at = memmem(at, end - at, name, len)) && at[-1])
		at++;
	for (uint32_t i = 1; at && i < k->n; i++) {
		const struct btf_type *t = kernel_type(k, i);

		if (t->name_off == (size_t)(at - k->strings) && btf_kind(t) == kind)
			return i;
	}
	return -ENOENT;
}

uint32_t kernel_type_resolve(const struct kernel_types *k, uint32_t number)
{
	for (int i = 0; i < DEPTH; i++) {
		const struct btf_type *t = kernel_type(k, number);

		if (!btf_is_mod(t) && !btf_is_typedef(t))
			break;
		number = t->type;
	}
	return number;
}

long kernel_type_size(const struct kernel_types *k, uint32_t number)
{
	long n = 1;

	for (int i = 0; i < DEPTH; i++) {
		const struct btf_type *t = kernel_type(k, kernel_type_resolve(k, number));

		bool array = btf_is_array(t), sized = btf_is_int(t) || btf_is_composite(t) || btf_is_any_enum(t);
		long by = btf_is_ptr(t) ? (long)sizeof(void *) : array ? btf_array(t)->nelems : t->size;

		if ((!array && !sized && !btf_is_ptr(t)) || __builtin_mul_overflow(n, by, &n))
			break;
		if (!array)
			return n;
		number = btf_array(t)->type;
	}
	return -ENOENT;
}
