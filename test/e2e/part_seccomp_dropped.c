/* A seccomp filter that was put on by a privilege which the process then gave up, of another user than ckpt. */
#include "e2e.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

static long deny(int nr)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number of the call */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 75),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, code };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static void dropped(void *arg)
{
	must(!deny(SYS_getuid));
	must(!syscall(SYS_setresgid, 1000, 1000, 1000) && !syscall(SYS_setresuid, 1000, 1000, 1000));
	int dumpable = prctl(PR_GET_DUMPABLE);
	e2e_child_ready();
	e2e_wait();
	must(syscall(SYS_getuid) == -1 && errno == 75);
	same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0);
	same(prctl(PR_GET_DUMPABLE), dumpable);
	same(syscall(SYS_geteuid), 1000);
	must(deny(SYS_getgid) == -1 && errno == EACCES);
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	if (geteuid())
		skip("needs root");
	pid_t child = e2e_fork(dropped, NULL);

	e2e_wait();

	e2e_join(child);
	return 0;
}
