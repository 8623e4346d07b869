/*
 * Seccomp: filters that kill whoever makes another call than the program itself, that trap, that threads do not share,
 * that all threads share (TSYNC), that children inherit; strict mode.
 */
#include "e2e.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <ucontext.h>

#define NR offsetof(struct seccomp_data, nr)

/* A filter that says action to one call and lets all others be made. */
static long deny(int nr, uint32_t action, unsigned int flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { 4, code };

	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static int status_of(const char *path, const char *key)
{
	char line[256];
	int value = -1;
	FILE *f = fopen(path, "re");

	must(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			value = atoi(line + strlen(key));
	fclose(f);
	return value;
}

/* Only what it needs itself is left to it; everything else kills it, also the end of a sleep that was interrupted. */
static void allow_few(void)
{
	static const int few[] = { SYS_access, SYS_clock_nanosleep, SYS_nanosleep, SYS_exit_group, SYS_write };
	struct sock_filter code[1 + 2 * 5 + 1] = { BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR) };
	struct sock_fprog program = { sizeof(code) / sizeof(code[0]), code };

	for (int i = 0; i < 5; i++) {
		code[1 + 2 * i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, few[i], 0, 1);
		code[2 + 2 * i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	code[11] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static void killer(void *arg)
{
	e2e_child_ready();
	allow_few();
	while (!e2e_time_to_check())
		e2e_sleep_ms(30);
	_exit(0);
}

static volatile int traps;

static void on_trap(int sig, siginfo_t *info, void *context)
{
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 4711;
	traps += info->si_syscall == SYS_getppid ? 1 : 1000;
}

/* Each call that a parasite could make, but the program does not, would be trapped. */
static void trapper(void *arg)
{
	static const int all[] = { SYS_mmap,	SYS_munmap, SYS_socketpair,   SYS_recvmsg,   SYS_sendto,
				   SYS_writev,	SYS_prctl,  SYS_rt_sigaction, SYS_getitimer, SYS_timer_gettime,
				   SYS_getppid, SYS_tkill,  SYS_sigaltstack };
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };

	must(!sigaction(SIGSYS, &action, NULL));
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i] != SYS_prctl)
			must(!deny(all[i], SECCOMP_RET_TRAP, 0));
	e2e_child_ready();
	e2e_wait();
	same(traps, 0);
	same(syscall(SYS_getppid), 4711);
	same(traps, 1);
	_exit(0);
}

static pthread_barrier_t barrier;

static void *own_filter(void *arg)
{
	long i = (long)arg;

	for (long n = 0; n < i; n++)
		must(!deny(SYS_getuid + 2 * n, SECCOMP_RET_ERRNO | 70, i == 2 ? SECCOMP_FILTER_FLAG_LOG : 0));
	pthread_barrier_wait(&barrier);
	e2e_wait();
	/* getuid, getgid, ... (102, 104, 106) */
	for (long n = 0; n < 3; n++) {
		long got = syscall(SYS_getuid + 2 * n);

		must(n < i ? got == -1 && errno == 70 : got >= 0);
	}
	return NULL;
}

static void threads_differ(void *arg)
{
	pthread_t thread[4];

	must(!pthread_barrier_init(&barrier, NULL, 5));
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (long i = 0; i < 4; i++)
		must(!pthread_create(&thread[i], NULL, own_filter, (void *)i));
	pthread_barrier_wait(&barrier);
	e2e_child_ready();
	e2e_wait();
	must(syscall(SYS_getuid) >= 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	_exit(0);
}

static void *checks_late(void *arg)
{
	pthread_barrier_wait(&barrier);
	e2e_wait();
	pthread_barrier_wait(&barrier); /* the other one has put on a second filter for all */
	must(syscall(SYS_getuid) == -1 && errno == 71);
	must(syscall(SYS_getgid) == -1 && errno == 72);
	return NULL;
}

static void all_threads(void *arg)
{
	pthread_t thread;

	must(!pthread_barrier_init(&barrier, NULL, 2));
	must(!pthread_create(&thread, NULL, checks_late, NULL));
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(!deny(SYS_getuid, SECCOMP_RET_ERRNO | 71, SECCOMP_FILTER_FLAG_TSYNC));
	pthread_barrier_wait(&barrier);
	e2e_child_ready();
	e2e_wait();
	/* only possible when both threads have the very same filter */
	same(deny(SYS_getgid, SECCOMP_RET_ERRNO | 72, SECCOMP_FILTER_FLAG_TSYNC), 0);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	_exit(0);
}

static void heir(void *arg)
{
	must(!deny(SYS_getgid, SECCOMP_RET_ERRNO | 74, 0));
	e2e_child_ready();
	e2e_wait();
	must(syscall(SYS_getuid) == -1 && errno == 73);
	must(syscall(SYS_getgid) == -1 && errno == 74);
	same(status_of("/proc/self/status", "Seccomp_filters:"), 2);
	_exit(0);
}

static void testator(void *arg)
{
	must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(!deny(SYS_getuid, SECCOMP_RET_ERRNO | 73, 0));
	pid_t child = e2e_fork(heir, NULL);
	e2e_child_ready();
	e2e_wait();
	must(syscall(SYS_getuid) == -1 && errno == 73);
	must(syscall(SYS_getgid) >= 0);
	e2e_join(child);
	_exit(0);
}

/* Only read, write, exit and sigreturn are left to it. */
static void strict(void *arg)
{
	int fd = *(int *)arg;
	char c = 1;

	e2e_child_ready();
	syscall(SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	while (syscall(SYS_read, fd, &c, 1) != 1)
		;
	syscall(SYS_exit, c);
}

int main(int argc, char **argv)
{
	static void (*const children[])(void *) = { killer, trapper, threads_differ, all_threads, testator, strict };
	pid_t pid[6];
	int p[2];
	char path[64];

	e2e_begin(argc, argv);
	must(!pipe(p));
	for (int i = 0; i < 6; i++)
		pid[i] = e2e_fork(children[i], &p[0]);
	for (int i = 0; i < 6; i += 5) { /* these say ready before they confine themselves */
		snprintf(path, sizeof(path), "/proc/%d/status", pid[i]);
		while (!status_of(path, "Seccomp:"))
			e2e_sleep_ms(1);
	}

	e2e_wait();

	must(write(p[1], "", 1) == 1);
	for (int i = 0; i < 6; i++)
		e2e_join(pid[i]);
	return 0;
}
