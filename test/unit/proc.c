/* Readers of /proc: what the kernel writes, cut off at every byte, and with names that try to deceive. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cleanup.h"
#include "proc.h"
#include "suite.h"

static const char stat_text[] =
	"4115 (evil) S 9 (x) S 1 4115 4114 34816 4115 4194304 100 0 0 0 1 2 0 0 20 -5 3 0 133254 3133440 407 "
	"18446744073709551615 111 222 333 0 0 0 0 0 0 0 0 0 17 1 7 1 0 0 0 444 555 666 777 888 999 1010 2304\n";

static const char status_text[] =
	"Name:\ta\\nb\\\\c\nUmask:\t0027\nState:\tS (sleeping)\nTgid:\t5\nTracerPid:\t77\n"
	"Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t4 24 27 \nThreads:\t3\nSigPnd:\t0000000000000002\n"
	"ShdPnd:\t8000000000000000\nSigCgt:\t0000000000000010\nCapInh:\t0000000000000001\n"
	"CapPrm:\t00000000000000ff\nCapEff:\t000000000000000f\nCapBnd:\t000001ffffffffff\n"
	"CapAmb:\t0000000000000003\nNoNewPrivs:\t1\nSeccomp:\t2\n";

static const char smaps_text[] =
	"55d000-55e000 r-xp 00001000 fe:00 1234                     /usr/bin/a file\nSize: 4 kB\nRss: 4 kB\nSwap: 8 "
	"kB\n"
	"VmFlags: rd ex mr mw me dc hg \n"
	"7f0000000000-7f0000002000 rw-s 00000000 00:01 99                     /dev/zero (deleted)\n"
	"Rss: 0 kB\nKernelPageSize:     2048 kB\nProtectionKey:         3\nVmFlags: rd wr sh mr mw me ms lo lf um \n"
	"7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]\nRss: 0 kB\n"
	"Swap: 4 kB\nVmFlags: rd wr gd ac \n";

START_TEST(stat_fields)
{
	struct proc_stat st;

	ck_assert_int_eq(proc_parse_stat(stat_text, &st), 0);
	ck_assert_str_eq(st.comm, "evil) S 9 (x");
	ck_assert_int_eq(st.state, 'S');
	ck_assert_int_eq(st.ppid, 1);
	ck_assert_int_eq(st.pgid, 4115);
	ck_assert_int_eq(st.sid, 4114);
	ck_assert_int_eq(st.tty_pgrp, 4115);
	ck_assert_int_eq(st.nice, -5);
	ck_assert_int_eq(st.threads, 3);
	ck_assert_int_eq(st.rt_priority, 7);
	ck_assert_int_eq(st.policy, 1);
	ck_assert_int_eq(st.start_code, 111);
	ck_assert_int_eq(st.env_end, 1010);
	ck_assert_int_eq(st.exit_code, 2304);
}
END_TEST

START_TEST(stat_cut_off)
{
	struct proc_stat st;

	for (size_t len = 0; len < strlen(stat_text) - 5; len++) {
		_cleanup_free_ char *text = strndup(stat_text, len);

		ck_assert_int_eq(proc_parse_stat(text, &st), -EBADMSG);
	}
	ck_assert_int_eq(proc_parse_stat("1 ()) (( S", &st), -EBADMSG);
	ck_assert_int_eq(proc_parse_stat(")(", &st), -EBADMSG);
}
END_TEST

START_TEST(status_fields)
{
	struct proc_status st;

	ck_assert_int_eq(proc_parse_status(status_text, &st), 0);
	ck_assert_str_eq(st.name, "a\nb\\c");
	ck_assert_int_eq(st.umask, 027);
	ck_assert_int_eq(st.uid[0], 1);
	ck_assert_int_eq(st.uid[3], 4);
	ck_assert_int_eq(st.gid[2], 7);
	ck_assert_uint_eq(st.n_groups, 3);
	ck_assert_int_eq(st.groups[2], 27);
	ck_assert_uint_eq(st.pending, 2);
	ck_assert_uint_eq(st.shared_pending, 1ull << 63);
	ck_assert_uint_eq(st.caught, 0x10);
	ck_assert_uint_eq(st.cap_bnd, 0x1ffffffffff);
	ck_assert_uint_eq(st.cap_amb, 3);
	ck_assert_uint_eq(st.no_new_privs, 1);
	ck_assert_uint_eq(st.seccomp, 2);
	ck_assert_uint_eq(st.tracer, 77);
	proc_status_free(&st);
}
END_TEST

START_TEST(status_cut_off)
{
	for (size_t len = 0; len < strlen(status_text); len++) {
		_cleanup_free_ char *text = strndup(status_text, len);
		struct proc_status st;

		if (!proc_parse_status(text, &st))
			proc_status_free(&st);
	}
}
END_TEST

START_TEST(long_names_are_bounded)
{
	char text[512] = "Name:\t";
	struct proc_status st;
	struct proc_stat stat;

	memset(text + 6, 'x', 400);
	ck_assert_int_eq(proc_parse_status(text, &st), 0);
	ck_assert_uint_eq(strlen(st.name), sizeof(st.name) - 1);
	snprintf(text, sizeof(text), "1 (%0300d) S 1", 1);
	ck_assert_int_eq(proc_parse_stat(text, &stat), -EBADMSG);
}
END_TEST

START_TEST(areas)
{
	_cleanup_free_ char *text = strdup(smaps_text);
	struct vma_list list;

	ck_assert_int_eq(proc_parse_vmas(text, &list), 0);
	ck_assert_uint_eq(list.n, 3);
	ck_assert_uint_eq(list.v[0].start, 0x55d000);
	ck_assert_uint_eq(list.v[0].pgoff, 0x1000);
	ck_assert_uint_eq(list.v[0].ino, 1234);
	ck_assert_int_eq(list.v[0].prot, PROT_READ | PROT_EXEC);
	ck_assert_str_eq(list.v[0].name, "/usr/bin/a file");
	ck_assert_uint_eq(list.v[0].madv, 1u << MADV_DONTFORK | 1u << MADV_HUGEPAGE);
	ck_assert(list.v[1].shared && list.v[1].locked && list.v[1].uffd && list.v[1].may_write);
	ck_assert(list.v[1].lock_on_fault && list.v[1].page_size == 2 << 20 && list.v[1].protection_key == 3);
	ck_assert(list.v[2].grows_down && !list.v[2].shared);
	ck_assert(!list.v[0].empty && list.v[1].empty && !list.v[2].empty);
	ck_assert_ptr_eq(vma_find(&list, 0x55d000), &list.v[0]);
	ck_assert_ptr_null(vma_find(&list, 0x55e000));
	ck_assert_ptr_null(vma_find(&list, 0));
	ck_assert_ptr_eq(vma_find(&list, 0x7ffd00020fff), &list.v[2]);
	ck_assert_ptr_null(vma_find(&list, ~0ul));
	vma_list_free(&list);
}
END_TEST

START_TEST(areas_cut_off)
{
	for (size_t len = 0; len < strlen(smaps_text); len++) {
		_cleanup_free_ char *text = strndup(smaps_text, len);
		struct vma_list list;

		if (!proc_parse_vmas(text, &list))
			vma_list_free(&list);
	}
}
END_TEST

START_TEST(malformed_areas)
{
	static const char *const bad[] = { "Rss: 4 kB\n", "2000-1000 rw-p 0 0:0 0\n", "1000 rw-p\n",
					   "1000-2000\n", "1000-2000 rw-p 0 0 0\n",   "\n",
					   "zzz" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		_cleanup_free_ char *text = strdup(bad[i]);
		struct vma_list list;

		ck_assert_int_eq(proc_parse_vmas(text, &list), -EBADMSG);
	}
}
END_TEST

START_TEST(own_process)
{
	_cleanup_close_ int dir = proc_open(getpid());
	struct proc_limit limits[PROC_LIMITS];
	struct proc_status st;
	struct proc_stat stat;
	struct vma_list list;
	struct rlimit r;
	_cleanup_free_ int *fds = NULL;
	size_t n;

	ck_assert_int_ge(dir, 0);
	ck_assert_int_eq(proc_stat(dir, "stat", &stat), 0);
	ck_assert_int_eq(stat.ppid, getppid());
	ck_assert_int_eq(proc_status(dir, "status", &st), 0);
	ck_assert_uint_eq(st.uid[0], getuid());
	proc_status_free(&st);
	ck_assert_int_eq(proc_limits(dir, limits), 0);
	getrlimit(RLIMIT_NOFILE, &r);
	ck_assert_uint_eq(limits[RLIMIT_NOFILE].soft, r.rlim_cur);
	ck_assert_int_eq(proc_vmas(dir, true, &list), 0);
	const struct vma *v = vma_find(&list, (uint64_t)proc_open);
	ck_assert(v && (v->prot & PROT_EXEC));
	vma_list_free(&list);
	ck_assert_int_eq(proc_list(dir, "fd", &fds, &n), 0);
	ck_assert_uint_ge(n, 3);
	ck_assert_int_eq(proc_open(0x7ffffff0), -ESRCH);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proc");
	TCase *tc = tcase_create("proc");

	tcase_add_test(tc, stat_fields);
	tcase_add_test(tc, stat_cut_off);
	tcase_add_test(tc, status_fields);
	tcase_add_test(tc, status_cut_off);
	tcase_add_test(tc, long_names_are_bounded);
	tcase_add_test(tc, areas);
	tcase_add_test(tc, areas_cut_off);
	tcase_add_test(tc, malformed_areas);
	tcase_add_test(tc, own_process);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
