/* io_getevents(2) of asynchronous I/O. */
#include "call.h"

#include <linux/aio_abi.h>

static aio_context_t context[2];
static int file;

static void setup(void)
{
	if (syscall(SYS_io_setup, 4, &context[0]) || syscall(SYS_io_setup, 4, &context[1]))
		skip("no asynchronous I/O: %s", strerror(errno));
	file = open(e2e_path("file"), O_CREAT | O_RDWR, 0600);
	must(file >= 0 && write(file, "0123456789", 10) == 10);
}

static long timed(void)
{
	struct timespec t = call_time();
	struct io_event event;

	return syscall(SYS_io_getevents, context[0], 1, 1, &event, &t);
}

static long endless(void)
{
	struct io_event event;

	return syscall(SYS_io_getevents, context[1], 1, 1, &event, NULL);
}

static void wake(void)
{
	static char byte;
	struct iocb request = {
		.aio_lio_opcode = IOCB_CMD_PREAD, .aio_fildes = file, .aio_buf = (uint64_t)&byte, .aio_nbytes = 1
	};
	struct iocb *list = &request;

	must(syscall(SYS_io_submit, context[1], 1, &list) == 1);
}

static const struct call call = {
	"io_getevents",	    .setup = setup, .timed = timed,	 .timed_result = 0,
	.endless = endless, .wake = wake,   .endless_result = 1,
};
