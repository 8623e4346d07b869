/* What filters say to calls, as the kernel would; hostile programs are survived. */
#include <linux/audit.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "log.h"
#include "seccomp_filter.h"
#include "suite.h"

#define NR offsetof(struct seccomp_data, nr)
#define ARG1 offsetof(struct seccomp_data, args[1])

static uint32_t run(struct sock_filter *code, size_t n, const struct seccomp_data *call)
{
	return seccomp_run(&(struct seccomp_program){ code, n }, call);
}

START_TEST(number_decides)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 400, 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 5),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct seccomp_program p = { code, 5 };

	ck_assert_uint_eq(run(code, 5, &(struct seccomp_data){ .nr = SYS_mmap }), SECCOMP_RET_ERRNO | 5);
	ck_assert(!seccomp_allows(&p, &(struct seccomp_data){ .nr = SYS_mmap }));
	ck_assert(seccomp_allows(&p, &(struct seccomp_data){ .nr = SYS_munmap }));
	ck_assert(seccomp_allows(&p, &(struct seccomp_data){ .nr = 401 }));
	ck_assert(!seccomp_notifies(&p));
	code[3].k = SECCOMP_RET_USER_NOTIF;
	ck_assert(seccomp_notifies(&p));
	code[3].k = SECCOMP_RET_LOG;
	ck_assert(seccomp_allows(&p, &(struct seccomp_data){ .nr = SYS_mmap }));
}
END_TEST

START_TEST(calculates)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARG1),
		BPF_STMT(BPF_ST, 3),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 4),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_MEM, 3),
		BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
		BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 1),
		BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3),
		BPF_STMT(BPF_ALU | BPF_NEG, 0),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffff),
		BPF_STMT(BPF_LDX | BPF_W | BPF_LEN, 0),
		BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),
		BPF_STMT(BPF_RET | BPF_A, 0),
	};
	uint32_t arg = 0x1234, want = ((-((arg << 4 ^ arg) + 1) * 3) & 0xffff) - sizeof(struct seccomp_data);

	ck_assert_uint_eq(run(code, 13, &(struct seccomp_data){ .args = { 0, arg } }), want);
}
END_TEST

START_TEST(nonsense_kills)
{
	struct seccomp_data call = {};
	struct sock_filter bad[][2] = {
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_LD | BPF_MEM, 16), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_STX, ~0u), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_JMP | BPF_JA, ~0u), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) },
		{ BPF_STMT(BPF_LD | BPF_IMM, 1), BPF_STMT(BPF_LD | BPF_IMM, 1) },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_uint_eq(run(bad[i], 2, &call), SECCOMP_RET_KILL_PROCESS);
	ck_assert_uint_eq(run(NULL, 0, &call), SECCOMP_RET_KILL_PROCESS);
}
END_TEST

START_TEST(random_programs_end)
{
	struct sock_filter code[64];

	srandom(1);
	for (int round = 0; round < 20000; round++) {
		for (size_t i = 0; i < 64; i++)
			code[i] = (struct sock_filter){ random(), random(), random(), random() % 80 };
		run(code, 64, &(struct seccomp_data){ .nr = round, .arch = AUDIT_ARCH_X86_64 });
		seccomp_notifies(&(struct seccomp_program){ code, 64 });
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("seccomp_filter");
	TCase *tc = tcase_create("run");

	tcase_add_test(tc, number_decides);
	tcase_add_test(tc, calculates);
	tcase_add_test(tc, nonsense_kills);
	tcase_add_test(tc, random_programs_end);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
