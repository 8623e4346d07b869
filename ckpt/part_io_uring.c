/*
 * Rings of io_uring(7), as far as they concern a task: requests that are on the way when the tree stops are waited for,
 * once its threads can be made to work. A thread may use a ring by an index (IORING_REGISTER_RING_FDS), which only its
 * own calls show.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <sys/syscall.h>

#include "dump.h"
#include "io_uring.h"

#define RING_FDS 16 /* that the kernel keeps for a thread */

static int ask_thread(struct dump_thread *th)
{
	if (!io_uring_has(th->task))
		return 0;
	int asked = th->tid == th->task->pid ? io_uring_ask_main(th) : 0;
	if (asked)
		return asked;
	for (uint64_t i = 0; i < RING_FDS; i++) {
		int err = remote_do(&th->remote, NULL, SYS_io_uring_enter, i, 0, 0, IORING_ENTER_REGISTERED_RING);

		if (err == -EINVAL && !i)
			return 0; /* the thread has not used any, or the kernel is older than 5.18 */
		if (!err)
			return blocker_add(th->task->dump, th->task->pid, "io_uring",
					   "the thread uses the ring by an index (IORING_REGISTER_RING_FDS)",
					   "have the program not call io_uring_register_ring_fd", "thread %d, ring %lu",
					   th->tid, i);
		if (err != -EBADF && err != -EINVAL && err != -EBADFD)
			return err;
	}
	return 0;
}

const struct dump_part dump_part_io_uring = {
	.name = "io_uring",
	.ask_thread = ask_thread,
	.judge_inside = io_uring_wait,
};
