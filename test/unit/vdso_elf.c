/* vDSOs of this kernel are read and redirected, and the copy is called; truncated and hostile ones are refused. */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "vdso_elf.h"
#include "suite.h"

#define SIZE 8192ul

static struct vdso_code own, copy;

/* A copy that can be executed, near the real one. */
static void setup(void)
{
	own = (struct vdso_code){ (uint8_t *)getauxval(AT_SYSINFO_EHDR), SIZE, getauxval(AT_SYSINFO_EHDR) };
	ck_assert_ptr_nonnull(own.bytes);
	copy = own;
	copy.bytes = mmap(own.bytes - (64 << 20), SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	ck_assert_ptr_ne(copy.bytes, MAP_FAILED);
	copy.address = (uint64_t)copy.bytes;
	memcpy(copy.bytes, own.bytes, SIZE);
}

static void teardown(void)
{
	munmap(copy.bytes, SIZE);
}

static void *find(const struct vdso_code *code, const char *name)
{
	struct vdso_function list[VDSO_FUNCTIONS];
	int n = vdso_functions(code->bytes, code->size, list);

	ck_assert_int_gt(n, 0);
	for (int i = 0; i < n; i++)
		if (!strcmp(list[i].name, name))
			return code->bytes + list[i].offset;
	return NULL;
}

/* Changes the last letters of every name of a function in the vDSO, so that it is not found any more. */
static void rename_all(struct vdso_code *code)
{
	struct vdso_function list[VDSO_FUNCTIONS];
	int n = vdso_functions(code->bytes, code->size, list);

	for (int i = 0; i < n; i++)
		((char *)list[i].name)[strlen(list[i].name) - 1] = '0';
}

static void check_functions(void)
{
	int (*gettime)(clockid_t, struct timespec *) = find(&copy, "__vdso_clock_gettime");
	int (*getcpu)(unsigned int *, unsigned int *, void *) = find(&copy, "__vdso_getcpu");
	time_t (*get_time)(time_t *) = find(&copy, "__vdso_time");
	ssize_t (*getrandom)(void *, size_t, unsigned int, void *, size_t) = find(&copy, "__vdso_getrandom");
	struct timespec t = {}, u = {};
	unsigned int cpu = -1;
	char bytes[16];

	ck_assert_int_eq(gettime(CLOCK_MONOTONIC, &t), 0);
	ck_assert_int_eq(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &u), 0);
	ck_assert_int_le(u.tv_sec - t.tv_sec, 1);
	ck_assert_int_le(time(NULL) - get_time(NULL), 1);
	ck_assert_int_eq(getcpu(&cpu, NULL, NULL), 0);
	ck_assert_uint_lt(cpu, 8192);
	if (getrandom)
		ck_assert_int_eq(getrandom(bytes, sizeof(bytes), 0, NULL, 0), sizeof(bytes));
}

START_TEST(leads_to_the_same_functions)
{
	const char *lacking = NULL;

	ck_assert_int_eq(vdso_redirect(&copy, &own, &lacking), 0);
	ck_assert_int_eq(*(uint8_t *)find(&copy, "__vdso_time"), 0xe9);
	check_functions();
	/* once more: it is what a task looks like that was redirected before */
	ck_assert_int_eq(vdso_redirect(&copy, &own, &lacking), 0);
	check_functions();
}
END_TEST

START_TEST(calls_the_kernel_where_functions_lack)
{
	uint8_t bytes[SIZE];
	struct vdso_code poor = { bytes, SIZE, own.address };
	const char *lacking = NULL;

	memcpy(bytes, own.bytes, SIZE);
	rename_all(&poor);
	ck_assert_int_eq(vdso_redirect(&copy, &poor, &lacking), 0);
	ck_assert_int_ne(*(uint8_t *)find(&copy, "__vdso_time"), 0xe9);
	check_functions();
	ssize_t (*getrandom)(void *, size_t, unsigned int, void *, size_t) = find(&copy, "__vdso_getrandom");
	if (getrandom)
		ck_assert_int_eq(getrandom(NULL, 0, 0, bytes, -1), -ENOSYS);
}
END_TEST

START_TEST(names_what_cannot_be_had)
{
	const char *lacking = NULL;

	rename_all(&copy);
	ck_assert_int_eq(vdso_redirect(&copy, &own, &lacking), -ENOTSUP);
	ck_assert_ptr_nonnull(strchr(lacking, '0'));
	ck_assert_int_eq(memcmp(find(&copy, lacking), find(&own, "__vdso_gettimeofday"), 1), 0); /* untouched */
}
END_TEST

START_TEST(refuses_what_is_too_far)
{
	const char *lacking = NULL;
	struct vdso_code far = own;

	far.address = copy.address + (1ul << 31) + SIZE;
	ck_assert_int_eq(vdso_redirect(&copy, &far, &lacking), -ERANGE);
	far.address = copy.address - (1ul << 31) - SIZE;
	ck_assert_int_eq(vdso_redirect(&copy, &far, &lacking), -ERANGE);
}
END_TEST

/* Bytes that end where the memory ends, for the sanitizers and the kernel to watch over. */
static void try_bytes(uint8_t *bytes, size_t size)
{
	struct vdso_code hostile = { bytes, size, copy.address };
	const char *lacking = NULL;

	vdso_redirect(&hostile, &own, &lacking);
}

START_TEST(survives_truncation)
{
	for (size_t size = 0; size <= SIZE; size++) {
		uint8_t *bytes = malloc(size ?: 1);

		memcpy(bytes, own.bytes, size);
		try_bytes(bytes, size);
		free(bytes);
	}
}
END_TEST

START_TEST(survives_damage)
{
	static const uint8_t values[] = { 0, 1, 0x7f, 0x80, 0xff };
	uint8_t *bytes = malloc(SIZE);

	for (size_t at = 0; at < 0x600; at++) /* headers, symbols, strings, dynamic section */
		for (size_t v = 0; v < sizeof(values); v++) {
			memcpy(bytes, own.bytes, SIZE);
			bytes[at] = values[v];
			try_bytes(bytes, SIZE);
			/* and the next ones: numbers are larger than bytes */
			memset(bytes + at, values[v], 8);
			try_bytes(bytes, SIZE);
		}
	free(bytes);
}
END_TEST

START_TEST(puts_the_header_back)
{
	memcpy(copy.bytes, "CRIUvDSO", 8);
	memset(copy.bytes + 8, 0x5a, VDSO_MARK - 8);
	ck_assert_int_eq(vdso_unmark(copy.bytes), 1);
	ck_assert_int_eq(memcmp(copy.bytes, own.bytes, SIZE), 0);
	ck_assert_int_eq(vdso_unmark(copy.bytes), 0);
}
END_TEST

int main(void)
{
	if (!getauxval(AT_SYSINFO_EHDR))
		return 0;
	Suite *suite = suite_create("vdso_elf");
	TCase *tcase = tcase_create("vdso_elf");

	tcase_set_timeout(tcase, 120); /* only against hangs */
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, leads_to_the_same_functions);
	tcase_add_test(tcase, calls_the_kernel_where_functions_lack);
	tcase_add_test(tcase, names_what_cannot_be_had);
	tcase_add_test(tcase, refuses_what_is_too_far);
	tcase_add_test(tcase, survives_truncation);
	tcase_add_test(tcase, survives_damage);
	tcase_add_test(tcase, puts_the_header_back);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
