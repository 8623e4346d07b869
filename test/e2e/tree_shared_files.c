/* A child that shares the table of descriptors of its parent (CLONE_FILES), and has such a child itself. */
#include "e2e.h"

#include <sched.h>

#define LATER 200

static char stack[2][65536] __attribute__((aligned(16)));
static int pipe_of_both[2], opened[2];

static int grandchild(void *arg)
{
	char c;

	must(write(opened[1], "!", 1) == 1);
	while (read(pipe_of_both[0], &c, 1) < 0 && errno == EINTR)
		;
	must(fcntl(LATER, F_GETFD) == FD_CLOEXEC && !close(opened[0]));
	return 0;
}

static int child(void *arg)
{
	int status;

	opened[1] = open(e2e_path("second"), O_RDWR | O_CREAT, 0600);
	must(opened[1] > 0 && write(opened[1], "second", 6) == 6);
	pid_t pid = clone(grandchild, stack[1] + sizeof(stack[1]), CLONE_FILES | SIGCHLD, NULL);
	must(pid > 0 && waitpid(pid, &status, 0) == pid);
	return status != 0;
}

int main(int argc, char **argv)
{
	int status;

	e2e_begin(argc, argv);
	must(!pipe(pipe_of_both));
	opened[0] = open(e2e_path("first"), O_RDWR | O_CREAT, 0600);
	pid_t pid = clone(child, stack[0] + sizeof(stack[0]), CLONE_FILES | SIGCHLD, NULL);
	must(opened[0] > 0 && pid > 0);
	opened[1] = opened[0] + 1;
	while (fcntl(opened[1], F_GETFD) < 0 || lseek(opened[1], 0, SEEK_CUR) != 7)
		e2e_sleep_ms(1);

	e2e_wait();

	same(lseek(opened[1], 0, SEEK_CUR), 7);
	must(dup3(opened[1], LATER, O_CLOEXEC) == LATER && write(pipe_of_both[1], "x", 1) == 1);
	must(waitpid(pid, &status, 0) == pid && !status);
	must(fcntl(opened[0], F_GETFD) < 0);
	return 0;
}
