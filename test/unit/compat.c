/* 32-bit programs: the search for the code that leads home, and the frame that the kernel reads there. */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "compat.h"
#include "regs.h"
#include "xstate.h"
#include "suite.h"

static struct gadgets found(const void *code, size_t len)
{
	struct gadgets g = { .compat = true };
	uint8_t *copy = malloc(len ?: 1); /* ends where the memory ends, for the sanitizers */

	memcpy(copy, code, len);
	gadgets_scan(&g, copy, len, 0x1000);
	free(copy);
	return g;
}

START_TEST(finds_gadgets)
{
	/* the vDSO of Linux 6.18 on an AMD CPU, shortened */
	static const uint8_t vdso[] = { 0x51, 0x52, 0x55, 0x89, 0xcd, 0x0f, 0x05, 0xcd, 0x80, 0x5d, 0x5a,
					0x59, 0xc3, 0x90, 0x58, 0xb8, 0x77, 0,	  0,	0,    0xcd, 0x80,
					0x90, 0xb8, 0xad, 0,	0,    0,    0xcd, 0x80, 0x90 };
	static const uint8_t plain[] = { 0xcd, 0x80, 0xc3 }, moves_stack[] = { 0xcd, 0x80, 0x5c, 0xc3 },
			     no_ret[] = { 0xcd, 0x80, 0x5d, 0x90 };
	struct gadgets g = found(vdso, sizeof(vdso));

	ck_assert(gadgets_complete(&g));
	ck_assert_uint_eq(g.int80_ret, 0x1007);
	ck_assert_uint_eq(g.int80_pops, 3);
	ck_assert_uint_eq(g.compat_sigreturn, 0x1017);
	ck_assert_uint_eq(gadgets_call(&g), g.int80_ret);
	g = found(plain, sizeof(plain));
	ck_assert_uint_eq(g.int80_ret, 0x1000);
	ck_assert_uint_eq(g.int80_pops, 0);
	ck_assert(!gadgets_complete(&g));
	ck_assert_uint_eq(found(moves_stack, sizeof(moves_stack)).int80_ret, 0);
	ck_assert_uint_eq(found(no_ret, sizeof(no_ret)).int80_ret, 0);
	for (size_t len = 0; len <= sizeof(vdso); len++)
		found(vdso, len);
	for (size_t at = 0; at < sizeof(vdso); at++) {
		uint8_t cut[sizeof(vdso)];

		memcpy(cut, vdso, sizeof(vdso));
		cut[at] ^= 0xff;
		found(cut, sizeof(cut));
	}
}
END_TEST

static uint32_t word(const uint8_t *bytes, size_t at)
{
	uint32_t value;

	memcpy(&value, bytes + at, sizeof(value));
	return value;
}

/* Offsets of struct rt_sigframe_ia32, from its start. */
enum { CONTEXT = 164, MASK = CONTEXT + 88 };

START_TEST(builds_frames)
{
	static uint8_t xstate[XSTATE_MAX], frame[SIGFRAME_MAX];
	const struct gadgets g = { .compat = true, .int80_ret = 0x10, .int80_pops = 3, .compat_sigreturn = 0x20 };
	struct user_regs_struct regs = { .rip = 0x1234,
					 .rax = 1,
					 .rbx = 2,
					 .rcx = 3,
					 .rdx = 4,
					 .rsi = 5,
					 .rdi = 6,
					 .rbp = 7,
					 .rsp = 8,
					 .cs = 0x23,
					 .ss = 0x2b,
					 .gs = 0x63,
					 .ds = 0x2b,
					 .es = 0x2b,
					 .eflags = 0x246 };
	size_t len = xstate_size(xstate_layout()->features);

	xstate[4] = 0x81; /* x87 registers 0 and 7 are in use */
	memset(xstate + 32, 0x77, 10);
	for (uint64_t address = 0x10000; address < 0x10040; address += 4) {
		size_t n = sigframe_build(frame, address, &g, &regs, 0x8000000000000001, xstate, len);
		const uint8_t *f = frame + 12; /* behind what the gadget pops */

		ck_assert_uint_le(n, sigframe_size(len));
		ck_assert_uint_eq(word(f, 0), 0x20);
		ck_assert_uint_eq(word(f, CONTEXT) & 0xffff, 0x63);
		ck_assert_uint_eq(word(f, CONTEXT + 16), 6); /* edi */
		ck_assert_uint_eq(word(f, CONTEXT + 44), 1); /* eax */
		ck_assert_uint_eq(word(f, CONTEXT + 56), 0x1234);
		ck_assert_uint_eq(word(f, CONTEXT + 60) & 0xffff, 0x23);
		ck_assert_uint_eq(word(f, MASK), 1);
		ck_assert_uint_eq(word(f, MASK + 4), 0x80000000);
		uint32_t fpstate = word(f, CONTEXT + 76);
		ck_assert_uint_eq((fpstate + 112) % 64, 0);
		const uint8_t *fsave = frame + (fpstate - address);
		ck_assert_uint_eq(word(fsave, 8), 0xffff0000 | 0x3ffc); /* tags: empty but for two */
		ck_assert_uint_eq(fsave[28], 0x77);
		ck_assert_uint_eq(word(fsave, 112 + 464), 0x46505853);
		ck_assert_uint_eq(word(fsave, 112 + len), 0x46505845);
		ck_assert_uint_eq(fpstate + 112 + len + 4 - address, n);
	}
	size_t n = compat_frame_build(frame, 0x10000, &g, &regs, ~0ull, NULL, 0);
	ck_assert_uint_eq(n, 12 + MASK + 8);
	ck_assert_uint_eq(word(frame + 12, CONTEXT + 76), 0);
}
END_TEST

START_TEST(calls_are_issued_again)
{
	static const struct {
		long nr, result;
		enum pending_signal pending;
		bool again;
	} cases[] = {
		{ 168, -512, SIGNAL_RESTARTS, true }, { 168, -516, SIGNAL_NONE, true },
		{ 0, -516, SIGNAL_NONE, false },      { 256, -4, SIGNAL_NONE, true },
		{ 232, -4, SIGNAL_NONE, false },      { 256, -4, SIGNAL_RESTARTS, false },
		{ 219, -516, SIGNAL_NONE, true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct user_regs_struct regs = {
			.cs = CS_COMPAT, .orig_rax = cases[i].nr, .rax = cases[i].result, .rip = 0x1002
		};

		regs_restart_call(&regs, cases[i].pending);
		ck_assert_uint_eq(regs.rip, cases[i].again ? 0x1000 : 0x1002);
		ck_assert_int_eq((long)regs.rax, cases[i].again ? cases[i].nr : -4);
	}
}
END_TEST

START_TEST(knows_its_numbers)
{
	ck_assert_int_eq(compat_number(SYS_munmap), 91);
	ck_assert_int_eq(compat_number(SYS_mmap), 192);
	ck_assert_int_eq(compat_number(SYS_execve), -1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("compat");
	TCase *tcase = tcase_create("compat");

	tcase_add_test(tcase, finds_gadgets);
	tcase_add_test(tcase, builds_frames);
	tcase_add_test(tcase, calls_are_issued_again);
	tcase_add_test(tcase, knows_its_numbers);
	suite_add_tcase(suite, tcase);
	return suite_run(suite);
}
