/* Descriptions of types: what libbpf writes is found again, and what is broken is noticed or leads nowhere. */
#include "kernel_types.h"
#include "suite.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct btf *btf;
static int number, pair, list, pointer, name, function, count;

static void make(void)
{
	btf = btf__new_empty();
	number = btf__add_int(btf, "int", 4, BTF_INT_SIGNED);
	pair = btf__add_struct(btf, "pair", 8);
	btf__add_field(btf, "a", number, 0, 0);
	btf__add_field(btf, "b", number, 32, 0);
	list = btf__add_array(btf, number, pair, 5);
	pointer = btf__add_ptr(btf, btf__add_const(btf, pair));
	name = btf__add_typedef(btf, "air", btf__add_volatile(btf, list)); /* also the end of "pair" */
	int proto = btf__add_func_proto(btf, number);
	btf__add_func_param(btf, "p", pointer);
	function = btf__add_func(btf, "pair", BTF_FUNC_GLOBAL, proto);
	btf__add_enum64(btf, "wide", 8, false);
	btf__add_enum64_value(btf, "WIDE", 1);
	btf__add_enum(btf, "narrow", 4);
	btf__add_enum_value(btf, "NARROW", 1);
	int var = btf__add_var(btf, "v", BTF_VAR_STATIC, number);
	btf__add_datasec(btf, ".data", 4);
	btf__add_datasec_var_info(btf, var, 0, 4);
	btf__add_decl_tag(btf, "tag", pair, -1);
	btf__add_fwd(btf, "later", BTF_FWD_STRUCT);
	count = btf__add_float(btf, "double", 8) + 1;
}

START_TEST(found)
{
	struct kernel_types k;
	uint32_t size;
	const void *data = btf__raw_data(btf, &size);

	ck_assert_int_eq(kernel_types_index(&k, data, size), 0);
	ck_assert_int_eq(k.n, count);
	ck_assert_int_eq(kernel_type_find(&k, "pair", BTF_KIND_STRUCT), pair);
	ck_assert_int_eq(kernel_type_find(&k, "pair", BTF_KIND_FUNC), function);
	ck_assert_int_eq(kernel_type_find(&k, "pair", BTF_KIND_UNION), -ENOENT);
	ck_assert_int_eq(kernel_type_find(&k, "air", BTF_KIND_TYPEDEF), name);
	ck_assert_int_eq(kernel_type_find(&k, "ir", BTF_KIND_TYPEDEF), -ENOENT);
	ck_assert_int_eq(kernel_type_find(&k, "", BTF_KIND_STRUCT), -ENOENT);
	ck_assert_int_eq(kernel_type_resolve(&k, name), list);
	ck_assert_int_eq(kernel_type_size(&k, name), 40);
	ck_assert_int_eq(kernel_type_size(&k, pointer), 8);
	ck_assert_int_eq(kernel_type_size(&k, function), -ENOENT);
	ck_assert_str_eq(kernel_type_name(&k, kernel_type(&k, pair)->name_off), "pair");
	for (int i = 1; i < count; i++)
		ck_assert_mem_eq(kernel_type(&k, i), btf__type_by_id(btf, i), sizeof(struct btf_type));
	kernel_types_free(&k);
}
END_TEST

/* Looks at all that there is. */
static void walk(const struct kernel_types *k)
{
	for (uint32_t i = 0; i <= k->n; i++) {
		kernel_type_size(k, i);
		kernel_type_resolve(k, i);
		kernel_type_name(k, kernel_type(k, i)->name_off);
	}
	kernel_type_find(k, "pair", BTF_KIND_FUNC);
}

START_TEST(broken)
{
	struct kernel_types k;
	uint32_t size;
	const void *data = btf__raw_data(btf, &size);

	for (uint32_t n = 0; n < size; n++) {
		void *part = malloc(n + 1);

		memcpy(part, data, n);
		ck_assert_int_eq(kernel_types_index(&k, part, n), -EBADMSG);
		free(part);
	}
	srand(1);
	for (int i = 0; i < 20000; i++) {
		uint8_t *copy = malloc(size);

		memcpy(copy, data, size);
		for (int j = 0; j < 3; j++)
			copy[rand() % size] = rand();
		if (!kernel_types_index(&k, copy, size))
			walk(&k);
		kernel_types_free(&k);
		free(copy);
	}
}
END_TEST

START_TEST(of_this_kernel)
{
	struct kernel_types k;

	if (kernel_types_load(&k))
		return; /* it tells none */
	ck_assert_int_gt(kernel_type_find(&k, "task_struct", BTF_KIND_STRUCT), 0);
	ck_assert_int_eq(kernel_type_find(&k, "no such struct", BTF_KIND_STRUCT), -ENOENT);
	kernel_types_free(&k);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("kernel_types");
	TCase *t = tcase_create("kernel_types");

	make();
	tcase_add_test(t, found);
	tcase_add_test(t, broken);
	tcase_add_test(t, of_this_kernel);
	suite_add_tcase(s, t);
	int status = suite_run(s);
	btf__free(btf);
	return status;
}
