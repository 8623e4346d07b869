/* The kernel's description of its types: a small one of our own, also damaged ones, and that of this kernel. */
#include "kernel_types.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "suite.h"

#define SIZE 4096

/* struct one { int a; const int *b; int c[3]; }, as libbpf writes it. Returns its bytes. */
static uint32_t make(char data[SIZE], int *number)
{
	struct btf *btf = btf__new_empty();
	int type = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	int constant = btf__add_const(btf, type), pointer = btf__add_ptr(btf, constant);
	int array = btf__add_array(btf, type, type, 3);
	uint32_t size;

	*number = btf__add_struct(btf, "one", 32);
	ck_assert(!btf__add_field(btf, "a", type, 0, 0) && !btf__add_field(btf, "b", pointer, 64, 0) &&
		  !btf__add_field(btf, "c", array, 128, 0));
	const void *raw = btf__raw_data(btf, &size);
	ck_assert(raw && size <= SIZE);
	memcpy(data, raw, size);
	btf__free(btf);
	return size;
}

static int parse(struct kernel_types *k, const char *from, size_t size)
{
	void *data = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert(data != MAP_FAILED);
	memcpy(data, from, size);
	int err = kernel_types_parse(k, data, size);
	k->size = SIZE;
	return err;
}

START_TEST(own)
{
	struct kernel_types k;
	char data[SIZE];
	int number;
	uint32_t size = make(data, &number);

	ck_assert_int_eq(parse(&k, data, size), 0);
	ck_assert_int_eq(kernel_type_find(&k, "one", BTF_KIND_STRUCT), number);
	ck_assert_int_eq(kernel_type_find(&k, "one", BTF_KIND_UNION), -ENOENT);
	ck_assert_int_eq(kernel_type_find(&k, "two", BTF_KIND_STRUCT), -ENOENT);
	const struct btf_type *t = kernel_type(&k, number);
	const struct btf_member *m = btf_members(t);
	ck_assert_int_eq(btf_vlen(t), 3);
	ck_assert_str_eq(kernel_type_name(&k, m[1].name_off), "b");
	ck_assert_uint_eq(kernel_type_size(&k, number), 32);
	ck_assert_uint_eq(kernel_type_size(&k, m[0].type), 4);
	ck_assert_uint_eq(kernel_type_size(&k, m[1].type), 8);
	ck_assert_uint_eq(kernel_type_size(&k, m[2].type), 12);
	uint32_t pointee = kernel_type(&k, m[1].type)->type;
	ck_assert_uint_eq(kernel_type_bare(&k, pointee), m[0].type);
	ck_assert_uint_eq(kernel_type_size(&k, 1000), 0);
	ck_assert_str_eq(kernel_type_name(&k, 1 << 30), "");
	kernel_types_free(&k);
}
END_TEST

/* Whatever is cut off or changed, nothing outside of it is read (see SAN=address), and nothing goes on for ever. */
START_TEST(damaged)
{
	struct kernel_types k;
	char data[SIZE], bad[SIZE];
	int number;
	uint32_t size = make(data, &number);

	for (uint32_t n = 0; n < size; n++) {
		ck_assert_int_eq(parse(&k, data, n), -EBADMSG);
		kernel_types_free(&k);
	}
	srand(1);
	for (int i = 0; i < 20000; i++) {
		memcpy(bad, data, size);
		for (int n = 1 + rand() % 3; n; n--)
			bad[rand() % size] = rand();
		if (!parse(&k, bad, size))
			for (uint32_t t = 0; t <= k.n; t++)
				ck_assert(kernel_type_bare(&k, t) + kernel_type_size(&k, t) +
						  strlen(kernel_type_name(&k, kernel_type(&k, t)->name_off)) !=
					  SIZE_MAX);
		kernel_types_free(&k);
	}
}
END_TEST

/* As libbpf sees it. */
START_TEST(of_this_kernel)
{
	static const char *const names[] = { "file", "task_struct", "vm_area_struct", "bpf_iter__task_file" };
	struct btf *btf = btf__load_vmlinux_btf();
	struct kernel_types k;

	int err = kernel_types_load(&k);
	ck_assert_int_eq(!err, btf != NULL);
	if (err)
		return;
	ck_assert_uint_eq(k.n, btf__type_cnt(btf));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int number = kernel_type_find(&k, names[i], BTF_KIND_STRUCT);

		ck_assert_int_eq(number, btf__find_by_name_kind(btf, names[i], BTF_KIND_STRUCT));
		ck_assert(!memcmp(kernel_type(&k, number), btf__type_by_id(btf, number), sizeof(struct btf_type)));
		ck_assert_int_eq(kernel_type_size(&k, number), btf__resolve_size(btf, number));
	}
	kernel_types_free(&k);
	btf__free(btf);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kernel_types");
	TCase *t = tcase_create("kernel_types");

	tcase_add_test(t, own);
	tcase_add_test(t, damaged);
	tcase_add_test(t, of_this_kernel);
	suite_add_tcase(s, t);
	return suite_run(s);
}
