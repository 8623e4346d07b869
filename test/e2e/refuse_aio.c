/* The ring of an AIO context in a child that was forked after io_setup(2): it has the area, but not the context. */
#include "e2e.h"

#include <linux/aio_abi.h>

static aio_context_t context;

static void child(void *arg)
{
	e2e_expect("%d AIO ring %lx", getpid(), (long)context);
	e2e_child_ready();
	e2e_wait();
	_exit(0);
}

int main(int argc, char **argv)
{
	struct io_event event;

	e2e_begin(argc, argv);
	if (syscall(SYS_io_setup, 10, &context))
		skip("no asynchronous I/O: %s", strerror(errno));
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	must(syscall(SYS_io_getevents, context, 0, 1, &event, NULL) == 0);
	e2e_join(pid);
	return 0;
}
