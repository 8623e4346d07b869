/* ckpt check --feature: every name that CRIU 4.2 knows has an answer, and only those that ckpt handles a good one. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd.h"
#include "kernel_features.h"
#include "log.h"
#include "opts.h"
#include "suite.h"

static const char *const names[] = {
	"mnt_id",
	"mem_dirty_track",
	"aio_remap",
	"timerfd",
	"tun",
	"tun_ns",
	"userns",
	"fdinfo_lock",
	"seccomp_suspend",
	"seccomp_filters",
	"loginuid",
	"cgroupns",
	"autofs",
	"tcp_half_closed",
	"compat_cr",
	"uffd",
	"uffd-noncoop",
	"can_map_vdso",
	"sk_ns",
	"sk_unix_file",
	"net_diag_raw",
	"nsid",
	"link_nsid",
	"kcmp_epoll",
	"timens",
	"external_net_ns",
	"clone3_set_tid",
	"newifindex",
	"nftables",
	"has_ipt_legacy",
	"pidfd_store",
	"ns_pid",
	"apparmor_stacking",
	"network_lock_nftables",
	"sockopt_buf_lock",
	"memfd_hugetlb",
	"move_mount_set_group",
	"openat2",
	"get_rseq_conf",
	"ipv6_freebind",
	"pagemap_scan",
	"timer_cr_ids",
	"overlayfs_maps",
	"breakpoints",
	"pagemap_scan_guard_pages",
};

static int check(const char *feature)
{
	struct opts opts;

	opts_init(&opts);
	opts.feature = feature;
	log_forget_error();
	return cmd_check(&opts);
}

START_TEST(known_names_have_an_answer)
{
	int status = check(names[_i]);

	ck_assert_ptr_null(log_first_error());
	ck_assert(status == 0 || status == 1);
	if (!kernel_feature_find(names[_i])) /* ckpt does not handle it, whatever the kernel has */
		ck_assert_int_eq(status, 1);
}
END_TEST

START_TEST(unknown_names_are_errors)
{
	static const char *const unknown[] = { "", "x", "MNT_ID", "mnt_id ", "all" };

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		ck_assert_int_eq(check(unknown[i]), 1);
		ck_assert_ptr_nonnull(strstr(log_first_error(), "unknown feature"));
	}
	ck_assert_int_eq(check("list"), 0);
}
END_TEST

START_TEST(probes_leave_nothing_behind)
{
	for (int round = 0; round < 3; round++)
		for (size_t i = 0; i < kernel_feature_count; i++)
			kernel_features[i].probe();
	/* The next descriptor is the lowest: none was left open. */
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), first = fd;
	close(fd);
	for (size_t i = 0; i < kernel_feature_count; i++)
		kernel_features[i].probe();
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(fd, first);
	close(fd);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG | __WALL), -1); /* no child */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("check_features");
	TCase *tc = tcase_create("check_features");

	log_init(AT_FDCWD, NULL, LOG_MSG);
	tcase_add_loop_test(tc, known_names_have_an_answer, 0, sizeof(names) / sizeof(names[0]));
	tcase_add_test(tc, unknown_names_are_errors);
	tcase_add_test(tc, probes_leave_nothing_behind);
	suite_add_tcase(s, tc);
	return suite_run(s);
}
