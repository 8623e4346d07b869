/* Registers in images, interrupted system calls, the way home, and the search for the code that leads there. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "arena.h"
#include "regs.h"
#include "sigframe.h"
#include "undo.h"
#include "xstate.h"
#include "suite.h"

static uint8_t xstate[XSTATE_MAX], back[XSTATE_MAX];

static void fill_xstate(void)
{
	uint64_t features = xstate_layout()->features;

	memset(xstate, 0, sizeof(xstate));
	for (size_t i = 0; i < 416; i++)
		xstate[i] = i;
	for (int c = 2; c < XSTATE_TILECFG; c++)
		if (features & XSTATE_BIT(c))
			memset(xstate + xstate_layout()->component[c].offset, c + 1, 8);
	uint64_t used = features & (XSTATE_BIT(XSTATE_TILECFG) - 1);
	memcpy(xstate + XSTATE_HEADER, &used, sizeof(used));
}

START_TEST(registers_go_both_ways)
{
	static struct regs_image img;
	struct user_regs_struct regs, again;
	struct user_desc tls[TLS_ENTRIES] = { { .entry_number = 12, .base_addr = 7 } };
	size_t len = sizeof(back);
	uint64_t missing;

	fill_xstate();
	for (size_t i = 0; i < sizeof(regs); i++)
		((uint8_t *)&regs)[i] = i * 7;
	ck_assert_int_eq(regs_to_image(&img, &regs, xstate, xstate_size(xstate_layout()->features), tls, 0x1234), 0);
	ck_assert_uint_eq(img.info.clear_tid_addr, 0x1234);
	ck_assert_uint_eq(img.info.n_tls, TLS_ENTRIES);
	ck_assert_int_eq(regs_from_image(&img.info, &again, back, &len, &missing), 0);
	ck_assert_mem_eq(&regs, &again, sizeof(regs));
	ck_assert_uint_eq(len, xstate_size(xstate_layout()->features));
	ck_assert_mem_eq(xstate, back, 416);
	for (int c = 2; c < XSTATE_TILECFG; c++)
		if (xstate_layout()->features & XSTATE_BIT(c))
			ck_assert_mem_eq(xstate + xstate_layout()->component[c].offset,
					 back + xstate_layout()->component[c].offset, 8);
}
END_TEST

START_TEST(hostile_registers)
{
	static struct regs_image img;
	struct user_regs_struct regs = {};
	struct user_desc tls[TLS_ENTRIES] = {};
	size_t len = sizeof(back);
	uint64_t missing;

	fill_xstate();
	regs_to_image(&img, &regs, xstate, xstate_size(xstate_layout()->features), tls, 0);
	img.fp.n_st_space = 31;
	ck_assert_int_eq(regs_from_image(&img.info, &regs, back, &len, &missing), -EBADMSG);
	img.fp.n_st_space = 32;
	img.xsave.n_ymmh_space = 1 << 20;
	ck_assert_int_eq(regs_from_image(&img.info, &regs, back, &len, &missing), -EBADMSG);
	img.xsave.n_ymmh_space = 0;
	img.xsave.xstate_bv |= 1ull << 60;
	ck_assert_int_eq(regs_from_image(&img.info, &regs, back, &len, &missing), -ENOTSUP);
	ck_assert_uint_eq(missing, 1ull << 60);
}
END_TEST

START_TEST(calls_are_issued_again)
{
	static const struct {
		long nr, error;
		enum pending_signal pending;
		bool again;
		long result;
	} cases[] = {
		{ SYS_read, 512, SIGNAL_NONE, true, 0 },
		{ SYS_read, 512, SIGNAL_RESTARTS, true, 0 },
		{ SYS_read, 512, SIGNAL_INTERRUPTS, false, -EINTR },
		{ SYS_futex, 513, SIGNAL_INTERRUPTS, true, 0 },
		{ SYS_pause, 514, SIGNAL_NONE, true, 0 },
		{ SYS_pause, 514, SIGNAL_RESTARTS, false, -EINTR },
		{ SYS_nanosleep, 516, SIGNAL_NONE, true, 0 },
		{ SYS_nanosleep, 516, SIGNAL_RESTARTS, false, -EINTR },
		{ SYS_restart_syscall, 516, SIGNAL_NONE, false, -EINTR },
		{ SYS_epoll_wait, EINTR, SIGNAL_NONE, true, 0 },
		{ SYS_epoll_wait, EINTR, SIGNAL_RESTARTS, false, -EINTR },
		{ SYS_close, EINTR, SIGNAL_NONE, false, -EINTR },
		{ SYS_read, EIO, SIGNAL_NONE, false, -EIO },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct user_regs_struct regs = { .rip = 1000, .rax = -cases[i].error, .orig_rax = cases[i].nr };

		regs_restart_call(&regs, cases[i].pending);
		ck_assert_uint_eq(regs.rip, cases[i].again ? 998 : 1000);
		ck_assert_int_eq(regs.rax, cases[i].again ? cases[i].nr : cases[i].result);
		ck_assert_int_eq(regs.orig_rax, -1);
	}
	struct user_regs_struct outside = { .rip = 1000, .rax = -512, .orig_rax = -1 };
	regs_restart_call(&outside, SIGNAL_NONE);
	ck_assert_uint_eq(outside.rip, 1000);
}
END_TEST

START_TEST(a_restart_is_undone)
{
	static const uint8_t syscall[] = { 0x0f, 0x05 }, other[] = { 0xc3, 0x90 };
	struct user_regs_struct before = { .rip = 998, .rax = SYS_restart_syscall, .orig_rax = SYS_futex, .cs = 0x33 };
	struct user_regs_struct regs = before;

	regs_undo_restart(&regs, other);
	ck_assert_mem_eq(&regs, &before, sizeof(regs));
	regs_undo_restart(&regs, syscall);
	ck_assert_uint_eq(regs.rip, 1000);
	ck_assert_int_eq(regs.rax, -516);
	ck_assert_int_eq(regs.orig_rax, SYS_futex);
	regs = before;
	regs.orig_rax = -1; /* stopped by an interrupt */
	regs_undo_restart(&regs, syscall);
	ck_assert_int_eq(regs.rax, -516);
	ck_assert_int_eq(regs.orig_rax, SYS_restart_syscall);
	regs = before;
	regs.rax = SYS_futex;
	regs_undo_restart(&regs, syscall);
	ck_assert_uint_eq(regs.rip, 998);
}
END_TEST

START_TEST(gadgets_are_found)
{
	static const uint8_t code[] = { 0x90, 0x0f, 0x05, 0x31, 0xd2, 0x45, 0x31, 0xdb, 0xc3, 0x48, 0xc7, 0xc0, 0x0f,
					0x00, 0x00, 0x00, 0x0f, 0x05, 0x41, 0x5f, 0xc3, 0x5e, 0xc3, 0x58, 0xc3 };
	struct gadgets g = {};

	gadgets_scan(&g, code, sizeof(code), 0x1000);
	ck_assert_uint_eq(g.syscall_ret, 0x1001);
	ck_assert_uint_eq(g.sigreturn, 0x1009);
	ck_assert_uint_eq(g.pop_rdi, 0x1013);
	ck_assert_uint_eq(g.pop_rsi, 0x1015);
	ck_assert_uint_eq(g.pop_rax, 0x1017);
	ck_assert(gadgets_complete(&g));
	for (size_t len = 0; len < sizeof(code); len++) { /* never beyond the end */
		uint8_t cut[sizeof(code)];
		struct gadgets h = {};

		memcpy(cut, code, len);
		gadgets_scan(&h, cut, len, 0x1000);
		ck_assert(!h.syscall_ret || len >= 9);
		ck_assert(!h.sigreturn || len >= 18);
	}
	struct gadgets without_pop = { .syscall_ret = 1 };
	ck_assert(!gadgets_complete(&without_pop));
}
END_TEST

START_TEST(the_way_home_fits)
{
	static uint8_t buf[SIGFRAME_MAX];
	struct user_regs_struct regs = { .rip = 0xabcdef };
	struct gadgets sigreturn = { .syscall_ret = 0x10, .sigreturn = 0x20 },
		       pop = { .syscall_ret = 0x10, .pop_rax = 0x30 };
	size_t len = xstate_size(xstate_layout()->features);
	uint64_t word;

	fill_xstate();
	for (uint64_t address = 0x7000; address < 0x7040; address += 8) {
		size_t size = sigframe_build(buf, address, &sigreturn, &regs, 5, xstate, len);
		ck_assert_uint_le(size, sigframe_size(len));
		memcpy(&word, buf, 8);
		ck_assert_uint_eq(word, 0x20);
		size = sigframe_build(buf, address, &pop, &regs, 5, xstate, len);
		ck_assert_uint_le(size, sigframe_size(len));
		memcpy(&word, buf + 8, 8);
		ck_assert_uint_eq(word, SYS_rt_sigreturn);
	}
	const struct chain_call calls[] = { { 1, { 2, 3 } }, { 4, { 5, 6 } } };
	uint64_t words[2 * CHAIN_WORDS];
	ck_assert_uint_eq(chain_build(words, &pop, calls, 2), 2 * CHAIN_WORDS);
	ck_assert_uint_eq(words[8], 4);
	ck_assert_uint_eq(words[13], 0x10);
}
END_TEST

static int order[4], done;

static void note(void *arg)
{
	order[done++] = (int)(intptr_t)arg;
}

START_TEST(undoing_is_in_reverse)
{
	struct undo u = {};

	for (intptr_t i = 1; i <= 4; i++) {
		ck_assert_int_eq(undo_reserve(&u), 0);
		undo_push(&u, note, (void *)i);
	}
	undo_to(&u, 2);
	ck_assert_int_eq(done, 2);
	undo_free(&u);
	ck_assert_int_eq(done, 4);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(order[i], 4 - i);
}
END_TEST

START_TEST(arenas)
{
	struct arena kinds[] = { {}, { .shared = true }, { .shared = true, .huge = true } }, a = kinds[_i];

	for (size_t size = 0; size < 10000000; size = size * 3 + 1) {
		uint8_t *p = arena_get(&a, size);

		ck_assert_ptr_nonnull(p);
		for (size_t i = 0; i < size; i++)
			if (p[i])
				ck_abort_msg("byte %zu of %zu is not zero", i, size);
		memset(p, 0xff, size);
	}
	ck_assert_str_eq(arena_strdup(&a, "text"), "text");
	arena_free(&a);
	arena_free(&a);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("regs");
	TCase *tc = tcase_create("regs");

	tcase_add_test(tc, registers_go_both_ways);
	tcase_add_test(tc, hostile_registers);
	tcase_add_test(tc, calls_are_issued_again);
	tcase_add_test(tc, a_restart_is_undone);
	tcase_add_test(tc, gadgets_are_found);
	tcase_add_test(tc, the_way_home_fits);
	tcase_add_test(tc, undoing_is_in_reverse);
	tcase_add_loop_test(tc, arenas, 0, 3);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
