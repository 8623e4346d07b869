/*
 * Processes whose main thread has ended while others go on: with descriptors, memory and children, of which one has a
 * parent-death signal that must not come again; with the status of the main thread, which is the status of the process
 * when the last thread ends; stopped.
 */
#include "e2e.h"

#include <pthread.h>

static volatile int signals;

static void wait_dead_main(void)
{
	char stat[1024];

	for (;;) {
		int fd = open("/proc/self/stat", O_RDONLY);
		ssize_t n = read(fd, stat, sizeof(stat) - 1);

		must(n > 0);
		stat[n] = 0;
		close(fd);
		if (strrchr(stat, ')')[2] == 'Z')
			return;
		e2e_sleep_ms(1);
	}
}

static void on_signal(int sig)
{
	signals++;
}

static void child(void *arg)
{
	pid_t parent = getppid();

	signal(SIGUSR1, on_signal);
	must(!prctl(PR_SET_PDEATHSIG, SIGUSR1));
	e2e_child_ready();
	e2e_wait();
	int sig = 0;
	must(!prctl(PR_GET_PDEATHSIG, &sig));
	same(sig, SIGUSR1);
	same(signals, 0);
	same(getppid(), parent);
	_exit(0);
}

/* The last one of its process; whether its status or that of the main thread counts depends on the kernel. */
static void *last(void *arg)
{
	wait_dead_main();
	e2e_child_ready();
	e2e_wait();
	syscall(SYS_exit, 7);
	return NULL;
}

static void ends_with_7(void *arg)
{
	pthread_t t;

	must(!pthread_create(&t, NULL, last, NULL));
	syscall(SYS_exit, 7);
}

static void expect_status(pid_t pid, int expected)
{
	int status;

	must(waitpid(pid, &status, 0) == pid);
	same(status, expected);
}

static void *other(void *arg)
{
	uint8_t *memory = arg;

	e2e_wait();
	e2e_verify(memory, 4 * E2E_PAGE, 5, "memory");
	return NULL;
}

static void *thread(void *arg)
{
	uint8_t *memory = mmap(NULL, 4 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t t;
	siginfo_t info;
	int p[2];
	char c;

	wait_dead_main();
	must(memory != MAP_FAILED && !pipe(p) && write(p[1], "x", 1) == 1);
	e2e_fill(memory, 4 * E2E_PAGE, 5);
	must(!pthread_create(&t, NULL, other, memory));
	pid_t pid = e2e_fork(child, NULL), seven = e2e_fork(ends_with_7, NULL), stopped = e2e_fork(ends_with_7, NULL);
	must(!kill(stopped, SIGSTOP) && !waitid(P_PID, stopped, &info, WSTOPPED | WNOWAIT));
	/* not e2e_wait: the one that says ready is the main thread, and that is gone */
	e2e_touch("almost-ready");
	must(!rename(e2e_path("almost-ready"), e2e_path("ready")));
	while (!e2e_time_to_check())
		e2e_sleep_ms(3);

	must(read(p[0], &c, 1) == 1 && c == 'x');
	pthread_join(t, NULL);
	e2e_join(pid);
	expect_status(seven, 7 << 8);
	must(waitpid(stopped, NULL, WNOHANG) == 0);
	must(!kill(stopped, SIGCONT));
	expect_status(stopped, 7 << 8);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t first;

	e2e_begin(argc, argv);
	must(!pthread_create(&first, NULL, thread, NULL));
	pthread_exit(NULL);
}
