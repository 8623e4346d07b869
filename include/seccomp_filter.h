/*
 * Seccomp filters as data: what a chain of them would say to a system call. Filters are programs of the classic
 * BPF machine, restricted to what seccomp takes (Documentation/userspace-api/seccomp_filter.rst of the kernel).
 */
#ifndef CKPT_SECCOMP_FILTER_H
#define CKPT_SECCOMP_FILTER_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seccomp_program {
	struct sock_filter *code;
	size_t n; /* instructions */
};

/* What one filter returns for a call: SECCOMP_RET_* with its data. Nonsense in it is SECCOMP_RET_KILL_PROCESS. */
uint32_t seccomp_run(const struct seccomp_program *p, const struct seccomp_data *call);
/* Whether the call is made as if there were no filter. */
bool seccomp_allows(const struct seccomp_program *p, const struct seccomp_data *call);
/* Whether it returns, in any case, to hand the call to a supervisor (SECCOMP_RET_USER_NOTIF). */
bool seccomp_notifies(const struct seccomp_program *p);

#endif
