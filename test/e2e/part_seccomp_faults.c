/*
 * A filter that kills for nearly all that a parasite does, but not for what it needs to go away: whenever a dump
 * fails, and also when the dumper is killed, the program goes on.
 */
#include "e2e.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>

static void forbid(const int *calls, size_t n)
{
	struct sock_filter code[64] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)) };
	struct sock_fprog program = { 2 * n + 2, code };

	for (size_t i = 0; i < n; i++) {
		code[1 + 2 * i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		code[2 + 2 * i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	}
	code[1 + 2 * n] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

int main(int argc, char **argv)
{
	static const int calls[] = { SYS_mmap,	       SYS_socketpair,	  SYS_sendto, SYS_writev,	SYS_prctl,
				     SYS_rt_sigaction, SYS_rt_sigpending, SYS_brk,    SYS_personality,	SYS_getitimer,
				     SYS_membarrier,   SYS_sigaltstack,	  SYS_tkill,  SYS_timer_gettime };

	e2e_begin(argc, argv);
	forbid(calls, sizeof(calls) / sizeof(calls[0]));

	e2e_wait();

	return 0;
}
