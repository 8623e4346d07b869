/* A request to a ring of io_uring(7) that ends soon, perhaps just after the tree was stopped: the dump waits for it. */
#include "e2e.h"

#include <linux/io_uring.h>
#include <sys/mman.h>

static void start_timeout(int fd, const struct io_uring_params *p, uint8_t *rings, struct io_uring_sqe *sqes)
{
	static const struct __kernel_timespec soon = { 0, 60000000 };

	sqes[0] = (struct io_uring_sqe){ .opcode = IORING_OP_TIMEOUT, .addr = (uintptr_t)&soon, .len = 1 };
	__atomic_store_n((uint32_t *)(rings + p->sq_off.tail), 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 0) == 1);
}

int main(int argc, char **argv)
{
	struct io_uring_params p = { 0 };

	e2e_begin(argc, argv);
	int fd = syscall(SYS_io_uring_setup, 1, &p);
	if (fd < 0)
		skip("no io_uring: %s", strerror(errno));
	uint8_t *rings = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	void *sqes = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	must(rings != MAP_FAILED && sqes != MAP_FAILED);
	start_timeout(fd, &p, rings, sqes);

	e2e_wait();

	must(syscall(SYS_io_uring_enter, fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 0);
	same(*(uint32_t *)(rings + p.cq_off.tail), 1);
	same(((struct io_uring_cqe *)(rings + p.cq_off.cqes))->res, -ETIME);
	return 0;
}
