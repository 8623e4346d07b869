/* A seccomp filter that hands calls to a supervisor, whose listener the parent holds. */
#include "e2e.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

static void supervised(void *arg)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number of the call */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, code };

	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	int fd = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	must(fd >= 0);
	close(fd);
	e2e_expect("%d seccomp supervisor", getpid());
	e2e_child_ready();
	e2e_wait();
	must(syscall(SYS_getppid) == -1 && errno == ENOSYS); /* the listener is gone */
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	pid_t child = e2e_fork(supervised, NULL);

	e2e_wait();

	e2e_join(child);
	return 0;
}
