/*
 * Contexts of asynchronous I/O: untouched; used, with events that nobody took yet; used so often that the ring has
 * gone round; with events across its end. They give their events in order and work on.
 */
#include "e2e.h"

#include <linux/aio_abi.h>

#define CONTEXTS 4

static aio_context_t context[CONTEXTS];
static int file;

static void submit(int c, int n, uint64_t first)
{
	static char byte;

	for (int i = 0; i < n; i++) {
		struct iocb request = { .aio_data = first + i,
					.aio_lio_opcode = IOCB_CMD_PREAD,
					.aio_fildes = file,
					.aio_buf = (uint64_t)&byte,
					.aio_nbytes = 1,
					.aio_offset = 3 };
		struct iocb *list = &request;

		must(syscall(SYS_io_submit, context[c], 1, &list) == 1);
	}
}

static void take(int c, int n, uint64_t first)
{
	struct timespec soon = { 5, 0 };

	for (int i = 0; i < n; i++) {
		struct io_event event = { 0 };

		must(syscall(SYS_io_getevents, context[c], 1, 1, &event, &soon) == 1);
		same(event.data, first + i);
		same(event.res, 1);
	}
}

static void expect_none(int c)
{
	struct timespec now = { 0, 0 };
	struct io_event event;

	must(syscall(SYS_io_getevents, context[c], 0, 1, &event, &now) == 0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	file = open("file", O_CREAT | O_RDWR, 0600);
	must(file >= 0 && write(file, "0123456789", 10) == 10);
	static const int sizes[CONTEXTS] = { 1, 1000, 1, 8 };
	for (int c = 0; c < CONTEXTS; c++)
		if (syscall(SYS_io_setup, sizes[c], &context[c]))
			skip("no asynchronous I/O: %s", strerror(errno));
	unsigned int nr = ((unsigned int *)context[2])[1];
	submit(1, 7, 100);
	take(1, 2, 100);
	for (unsigned int i = 0; i < 3 * nr + 5; i++) {
		submit(2, 1, i);
		take(2, 1, i);
	}
	nr = ((unsigned int *)context[3])[1];
	for (unsigned int i = 0; i < nr - 3; i++) {
		submit(3, 1, i);
		take(3, 1, i);
	}
	submit(3, 6, 1000);
	/* Contexts have numbers in the kernel: one that is gone leaves a gap. */
	must(!syscall(SYS_io_destroy, context[0]));
	context[0] = 0;
	must(!syscall(SYS_io_setup, 300, &context[0]));

	e2e_wait();

	expect_none(0);
	take(1, 5, 102);
	expect_none(1);
	expect_none(2);
	take(3, 6, 1000);
	expect_none(3);
	for (int c = 0; c < CONTEXTS; c++) {
		for (int i = 0; i < 500; i++) {
			submit(c, 2, 5000 + 2 * i);
			take(c, 2, 5000 + 2 * i);
		}
		must(!syscall(SYS_io_destroy, context[c]));
	}
	return 0;
}
