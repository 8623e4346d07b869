/*
 * ckpt check: what the kernel and the permissions lack, and what that costs. Exit status as CRIU's: 0 when
 * nothing that was asked for is missing, else 1.
 *
 * A feature of CRIU's list is "supported" when the kernel has it and ckpt makes use of it, for those who ask
 * (ZDTM, container engines) want to know whether a tree that needs it can be dumped and restored.
 */
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "fault.h"
#include "kernel_features.h"
#include "log.h"
#include "opts.h"

/* CRIU's features that ckpt does not handle yet, whatever the kernel has. */
static const struct {
	const char *name, *why;
} not_yet[] = {
	{ "tun", "TUN and TAP devices" },
	{ "tun_ns", "TUN and TAP devices in network namespaces" },
	{ "userns", "user namespaces" },
	{ "cgroupns", "cgroup namespaces" },
	{ "autofs", "autofs mounts" },
	{ "tcp_half_closed", "TCP connections" },
	{ "sk_ns", "sockets of several network namespaces" },
	{ "net_diag_raw", "raw sockets" },
	{ "nsid", "network namespaces" },
	{ "link_nsid", "network namespaces" },
	{ "timens", "time namespaces" },
	{ "external_net_ns", "network namespaces from outside" },
	{ "newifindex", "network devices" },
	{ "nftables", "network namespaces" },
	{ "has_ipt_legacy", "network namespaces" },
	{ "pidfd_store", "the RPC service" },
	{ "ns_pid", "PID namespaces" },
	{ "apparmor_stacking", "AppArmor namespaces" },
	{ "network_lock_nftables", "TCP connections" },
	{ "sockopt_buf_lock", "sockets" },
	{ "move_mount_set_group", "mount namespaces" },
	{ "openat2", "mount namespaces" },
	{ "ipv6_freebind", "IPv6 sockets" },
	{ "timer_cr_ids", "POSIX timers" },
	{ "overlayfs_maps", "mappings of files on overlayfs" },
	{ "breakpoints", "hardware breakpoints" },
};
#define NOT_YET (sizeof(not_yet) / sizeof(not_yet[0]))

static int list_features(void)
{
	for (size_t i = 0; i < kernel_feature_count; i++)
		puts(kernel_features[i].name);
	for (size_t i = 0; i < NOT_YET; i++)
		puts(not_yet[i].name);
	return 0;
}

static int check_feature(const char *name)
{
	const struct kernel_feature *f = kernel_feature_find(name);

	if (!strcmp(name, "list"))
		return list_features();
	if (f && f->probe()) {
		printf("%s is supported\n", name);
		return 0;
	}
	if (f) {
		printf("%s is not supported: it needs %s; without it, %s\n", name, f->since, f->cost);
		return 1;
	}
	for (size_t i = 0; i < NOT_YET; i++) {
		if (strcmp(not_yet[i].name, name))
			continue;
		printf("%s is not supported: ckpt does not handle %s yet\n", name, not_yet[i].why);
		return 1;
	}
	log_err("unknown feature %s: ckpt check --feature list names them all", name);
	return 1;
}

/* Says what is missing of the features that are required, or of the others. Returns how many. */
static unsigned int check_features(bool required)
{
	unsigned int missing = 0;

	for (size_t i = 0; i < kernel_feature_count; i++) {
		const struct kernel_feature *f = &kernel_features[i];

		if (f->required != required || f->probe())
			continue;
		printf("%s is missing (%s): %s\n", f->name, f->since, f->cost);
		missing++;
	}
	return missing;
}

static int list_fault_points(void)
{
	for (size_t i = 0; i < FAULT_POINTS; i++)
		printf("%s %s\n", fault_info[i].action, fault_info[i].name);
	return 0;
}

int cmd_check(const struct opts *opts)
{
	if (opts->fault_points)
		return list_fault_points();
	if (opts->feature)
		return check_feature(opts->feature);
	unsigned int required = check_features(true);
	unsigned int others = opts->all || opts->extra ? check_features(false) : 0;
	if (required)
		puts("Does not look good: ckpt can't dump or can't restore here.");
	else if (others)
		puts("Looks good, but some trees can't be dumped or restored here, or more slowly.");
	else
		puts("Looks good.");
	return required || others;
}
