/* io_uring_setup(2), io_uring_enter(2), io_uring_register(2), and rings that are mapped into this process. */
#include "io_uring_map.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int result(long ret)
{
	return ret < 0 ? -errno : ret;
}

int uring_setup(uint32_t entries, struct io_uring_params *p)
{
	return result(syscall(SYS_io_uring_setup, entries, p));
}

int uring_enter(int fd, uint32_t submit, uint32_t flags, const void *arg, size_t size)
{
	return result(syscall(SYS_io_uring_enter, fd, submit, 0, flags, arg, size));
}

int uring_register(int fd, uint32_t opcode, const void *arg, uint32_t n)
{
	return result(syscall(SYS_io_uring_register, fd, opcode, arg, n));
}

void uring_sizes(struct uring *u)
{
	size_t sq = u->p.sq_off.array + u->p.sq_entries * sizeof(uint32_t);
	size_t cq = u->p.cq_off.cqes + u->p.cq_entries * sizeof(struct io_uring_cqe);

	u->rings_size = sq > cq ? sq : cq;
	u->sqes_size = u->p.sq_entries * sizeof(struct io_uring_sqe);
}

int uring_map(int fd, struct uring *u)
{
	uring_sizes(u);
	u->rings = mmap(NULL, u->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	u->sqes = mmap(NULL, u->sqes_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	u->rings = u->rings == MAP_FAILED ? NULL : u->rings;
	u->sqes = u->sqes == MAP_FAILED ? NULL : u->sqes;
	if (u->rings && u->sqes)
		return 0;
	int err = errno;
	uring_unmap(u);
	return -err;
}

void uring_unmap(struct uring *u)
{
	if (u->rings)
		munmap(u->rings, u->rings_size);
	if (u->sqes)
		munmap(u->sqes, u->sqes_size);
	u->rings = u->sqes = NULL;
}

uint32_t *uring_at(const struct uring *u, uint32_t offset)
{
	return (uint32_t *)(u->rings + offset);
}
