/*
 * A small tree with a bit of everything (groups, pipes with data, shared memory, files, a deleted one, a thread, a
 * zombie, a timer): the one for the runs with faults, where what goes wrong must show.
 */
#include "e2e.h"

#include <pthread.h>
#include <sys/time.h>

static char *shared, *private;
static int p[2], file, deleted;

static volatile bool thread_ready, stop;

static void *thread(void *arg)
{
	thread_ready = true;
	while (!stop)
		e2e_sleep_ms(2);
	return NULL;
}

static void child(void *arg)
{
	int number = *(int *)arg;
	pthread_t other;

	if (number == 1)
		must(!setpgid(0, 0));
	if (number == 2)
		must(setsid() == getpid());
	must(!pthread_create(&other, NULL, thread, NULL));
	while (!thread_ready)
		e2e_sleep_ms(1);
	e2e_fill(private, 8 * E2E_PAGE, number);
	shared[number] = number;
	e2e_child_ready();
	e2e_wait();
	e2e_verify(private, 8 * E2E_PAGE, number, "private memory");
	same(shared[number], number);
	shared[10 + number] = number;
	stop = true;
	pthread_join(other, NULL);
	if (number == 3)
		must(write(p[1], "three", 5) == 5);
	_exit(0);
}

static void zombie(void *arg)
{
	_exit(3);
}

int main(int argc, char **argv)
{
	struct itimerval timer = { { 1000, 0 }, { 1000, 0 } };
	siginfo_t info;
	pid_t pid[4];
	char buf[16] = "";

	e2e_begin(argc, argv);
	shared = mmap(NULL, 4 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	private = mmap(NULL, 32 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	e2e_fill(private, 32 * E2E_PAGE, 99);
	file = open("file", O_CREAT | O_RDWR, 0600);
	must(!pipe(p) && write(p[1], "first ", 6) == 6 && write(file, "0123456789", 10) == 10);
	deleted = open("deleted", O_CREAT | O_RDWR, 0600);
	must(deleted >= 0 && !unlink("deleted") && write(deleted, "gone", 4) == 4);
	must(!setitimer(ITIMER_REAL, &timer, NULL));
	for (int i = 1; i < 4; i++)
		pid[i] = e2e_fork(child, &i);
	pid[0] = e2e_fork(zombie, NULL);
	must(!waitid(P_PID, pid[0], &info, WEXITED | WNOWAIT));

	e2e_wait();

	for (int i = 1; i < 4; i++)
		e2e_join(pid[i]);
	must(!waitid(P_PID, pid[0], &info, WEXITED) && info.si_status == 3);
	e2e_verify(private, 32 * E2E_PAGE, 99, "private memory of the parent");
	must(shared[11] == 1 && shared[12] == 2 && shared[13] == 3);
	must(read(p[0], buf, 11) == 11 && !strcmp(buf, "first three"));
	same(lseek(file, 0, SEEK_CUR), 10);
	must(pread(deleted, buf, 8, 0) == 4 && !memcmp(buf, "gone", 4) && access("deleted", F_OK));
	return 0;
}
