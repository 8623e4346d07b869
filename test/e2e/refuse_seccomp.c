/* A seccomp filter in one thread of a child, and a strict one in another child. */
#include "e2e.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>

static volatile pid_t filtered;

static void *thread(void *arg)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number of the call */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 99),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, code };

	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(!prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
	filtered = gettid();
	e2e_wait();
	must(syscall(SYS_getppid) == -1 && errno == 99);
	return NULL;
}

static void child(void *arg)
{
	pthread_t other;

	must(!pthread_create(&other, NULL, thread, NULL));
	while (!filtered)
		e2e_sleep_ms(1);
	e2e_expect("%d seccomp %d", getpid(), filtered);
	e2e_child_ready();
	e2e_wait();
	must(getppid() > 0);
	pthread_join(other, NULL);
	_exit(0);
}

/* Only read, write and exit are left to it. */
static void strict(void *arg)
{
	int fd = *(int *)arg;
	char c = 1;

	e2e_expect("%d seccomp", getpid());
	e2e_child_ready();
	syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	while (syscall(SYS_read, fd, &c, 1) != 1)
		;
	syscall(SYS_exit, c);
}

int main(int argc, char **argv)
{
	int p[2];

	e2e_begin(argc, argv);
	must(!pipe(p));
	pid_t a = e2e_fork(child, NULL), b = e2e_fork(strict, &p[0]);
	e2e_sleep_ms(20);

	e2e_wait();

	must(write(p[1], "", 1) == 1);
	e2e_join(a);
	e2e_join(b);
	return 0;
}
