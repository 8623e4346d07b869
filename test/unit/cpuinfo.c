/* CPUs are compared as far as it was asked for; an image that lies about their number or words is refused. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cpuinfo.h"
#include "image.h"
#include "log.h"
#include "suite.h"

static struct cpuinfo own, other;
static char told[4096];

static void setup(void)
{
	cpuinfo_own(&own, true);
	cpuinfo_own(&other, true);
	*told = 0;
}

static void tell(void *arg, const char *what)
{
	snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", what);
}

static unsigned int compare(unsigned int caps)
{
	return cpuinfo_compare(&other.entry, &own.x86, caps, tell, NULL);
}

START_TEST(the_same_cpu)
{
	ck_assert_uint_eq(compare(CPU_CAP_ALL), 0);
	ck_assert_uint_eq(own.x86.n_capability, CPUINFO_WORDS);
	ck_assert_uint_ne(own.words[0], 0);
	ck_assert_int_ne(own.model[0], 0);
	cpuinfo_own(&other, false);
	ck_assert_uint_eq(compare(CPU_CAP_ALL), 0);
}
END_TEST

START_TEST(instructions)
{
	own.words[9] &= ~(1u << 5);
	other.words[9] |= 1u << 5;
	ck_assert_uint_eq(compare(CPU_CAP_INS), 1);
	ck_assert_ptr_nonnull(strstr(told, "avx2"));
	ck_assert_uint_eq(compare(CPU_CAP_FPU), 0);
	ck_assert_uint_eq(compare(CPU_CAP_CPU), 1);
	ck_assert_uint_eq(compare(CPU_CAP_NONE), 0);
	/* more than there was does no harm */
	other.words[9] &= ~(1u << 5);
	own.words[9] |= 1u << 5;
	ck_assert_uint_eq(compare(CPU_CAP_INS), 0);
	ck_assert_uint_eq(compare(CPU_CAP_CPU), 1);
}
END_TEST

START_TEST(newer_instructions)
{
	own.x86.capability_7_1 = 0;
	other.x86.capability_7_1 = 1 << 5;
	ck_assert_uint_eq(compare(CPU_CAP_INS), 1);
	ck_assert_ptr_nonnull(strstr(told, "avx512_bf16"));
	other.x86.has_capability_7_1 = false; /* as in CRIU's images */
	ck_assert_uint_eq(compare(CPU_CAP_INS), 0);
}
END_TEST

START_TEST(all_lacking)
{
	memset(own.words, 0, sizeof(own.words));
	memset(other.words, 0xff, sizeof(other.words));
	ck_assert_uint_eq(compare(CPU_CAP_INS), 1);
	ck_assert_ptr_nonnull(strstr(told, "amx_int8"));
}
END_TEST

START_TEST(extended_registers)
{
	other.x86.xfeatures_mask |= 1ul << 40;
	ck_assert_uint_eq(compare(CPU_CAP_INS), 0);
	ck_assert_uint_eq(compare(CPU_CAP_FPU), 1);
	ck_assert_ptr_null(strstr(told, "nothing stands in them"));
	other.x86.has_xfeatures_used = true;
	other.x86.xfeatures_used = 3;
	ck_assert_uint_eq(compare(CPU_CAP_FPU), 1);
	ck_assert_ptr_nonnull(strstr(told, "nothing stands in them"));
	other.x86.xsave_size++;
	ck_assert_uint_eq(compare(CPU_CAP_FPU), 2);
	other.x86.has_xsave_size = other.x86.has_xfeatures_mask = false;
	ck_assert_uint_eq(compare(CPU_CAP_FPU), 0);
}
END_TEST

START_TEST(malformed)
{
	other.x86.n_capability = CPUINFO_WORDS - 1;
	ck_assert_uint_eq(compare(CPU_CAP_INS), 1);
	other.x86.n_capability = 0;
	other.x86.capability = NULL;
	ck_assert_uint_eq(compare(CPU_CAP_ALL), 1);
	setup();
	other.x86.capability_ver = 3;
	ck_assert_uint_eq(compare(CPU_CAP_NONE), 1);
	other.entry.n_x86_entry = 0;
	ck_assert_uint_eq(compare(CPU_CAP_ALL), 1);
}
END_TEST

/* Each byte of an image is cut and changed. */
START_TEST(hostile_bytes)
{
	uint8_t bytes[512], changed[512];
	uint32_t magic[2] = { 0x54564319, 0x61404013 };
	uint32_t len = cpuinfo_entry__get_packed_size(&own.entry);
	ProtobufCMessage *m;

	ck_assert_uint_lt(len + 12, sizeof(bytes));
	memcpy(bytes, magic, 8);
	memcpy(bytes + 8, &len, 4);
	cpuinfo_entry__pack(&own.entry, bytes + 12);
	for (size_t i = 0; i < (len + 12) * 4; i++) {
		struct image_reader r = {};
		size_t at = i / 4, size = i % 4 ? len + 12 : at;

		memcpy(changed, bytes, sizeof(bytes));
		changed[at] ^= (uint8_t[]){ 0, 1, 0x80, 0xff }[i % 4];
		if (!image_open_bytes(&r, IMG_CPUINFO, changed, size) && image_get(&r, &m) > 0) {
			cpuinfo_compare((CpuinfoEntry *)m, &own.x86, CPU_CAP_ALL, tell, NULL);
			protobuf_c_message_free_unpacked(m, NULL);
		}
		image_reader_close(&r);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("cpuinfo");
	TCase *tcase = tcase_create("cpuinfo");

	log_init(AT_FDCWD, "/dev/null", LOG_ERR);
	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, the_same_cpu);
	tcase_add_test(tcase, instructions);
	tcase_add_test(tcase, newer_instructions);
	tcase_add_test(tcase, all_lacking);
	tcase_add_test(tcase, extended_registers);
	tcase_add_test(tcase, malformed);
	tcase_add_test(tcase, hostile_bytes);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
