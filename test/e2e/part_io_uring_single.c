/*
 * Rings of io_uring(7) that only the main thread may use (IORING_SETUP_SINGLE_ISSUER), one of them such that its work
 * is done when it asks for completions (IORING_SETUP_DEFER_TASKRUN): they stay like that, with completions that nobody
 * took, requests that were on the way, a registered buffer and a registered file.
 */
#include "e2e.h"

#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define URING_SETUP_SINGLE_ISSUER (1u << 12) /* linux/io_uring.h, 6.0 */
#define URING_SETUP_DEFER_TASKRUN (1u << 13) /* 6.1 */

struct ring {
	int fd;
	struct io_uring_params p;
	uint8_t *rings;
	struct io_uring_sqe *sqes;
};

static int file;
static char buffer[4096];

static uint32_t *at(struct ring *r, uint32_t offset)
{
	return (uint32_t *)(r->rings + offset);
}

static void submit(struct ring *r, struct io_uring_sqe sqe)
{
	uint32_t *tail = at(r, r->p.sq_off.tail), slot = *tail & (r->p.sq_entries - 1);

	r->sqes[slot] = sqe;
	at(r, r->p.sq_off.array)[slot] = slot;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) == 1);
}

static void take(struct ring *r, uint64_t data, int result)
{
	uint32_t head = *at(r, r->p.cq_off.head);

	must(syscall(SYS_io_uring_enter, r->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 0);
	must(*at(r, r->p.cq_off.tail) != head);
	struct io_uring_cqe cqe = ((struct io_uring_cqe *)(r->rings + r->p.cq_off.cqes))[head & (r->p.cq_entries - 1)];
	same(cqe.user_data, data);
	same(cqe.res, result);
	__atomic_store_n(at(r, r->p.cq_off.head), head + 1, __ATOMIC_RELEASE);
}

static struct io_uring_sqe read_fixed(uint64_t data)
{
	return (struct io_uring_sqe){ .opcode = IORING_OP_READ_FIXED,
				      .fd = 0,
				      .flags = IOSQE_FIXED_FILE | IOSQE_ASYNC,
				      .addr = (uintptr_t)buffer,
				      .len = 10,
				      .user_data = data };
}

static struct ring set_up(unsigned int flags)
{
	struct iovec all = { buffer, sizeof(buffer) };
	struct ring r = { .p = { .flags = flags } };

	r.fd = syscall(SYS_io_uring_setup, 4, &r.p);
	if (r.fd < 0)
		skip("no such io_uring: %s", strerror(errno));
	r.rings = mmap(NULL, r.p.sq_off.array + r.p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, 0);
	r.sqes = mmap(NULL, r.p.sq_entries * 64, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, IORING_OFF_SQES);
	must(r.rings != MAP_FAILED && r.sqes != MAP_FAILED);
	if (syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_BUFFERS, &all, 1))
		skip("such buffers can't be registered: %s", strerror(errno));
	must(!syscall(SYS_io_uring_register, r.fd, IORING_REGISTER_FILES, &file, 1));
	for (int i = 0; i < 10; i++) {
		submit(&r, read_fixed(i));
		take(&r, i, 10);
	}
	submit(&r, read_fixed(100));
	submit(&r, read_fixed(101));
	return r;
}

/* A thread that may not use them. */
static void *be_refused(void *arg)
{
	struct ring *r = arg;

	must(syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) < 0);
	same(errno, EEXIST);
	return NULL;
}

static void check(struct ring *r)
{
	pthread_t thread;

	take(r, 100, 10);
	take(r, 101, 10);
	for (int i = 0; i < 20; i++) {
		memset(buffer, 0, sizeof(buffer));
		submit(r, read_fixed(i));
		take(r, i, 10);
		must(!memcmp(buffer, "0123456789", 10));
	}
	must(!pthread_create(&thread, NULL, be_refused, r) && !pthread_join(thread, NULL));
	must(!syscall(SYS_io_uring_register, r->fd, IORING_UNREGISTER_BUFFERS, NULL, 0));
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	file = open("file", O_CREAT | O_RDWR, 0600);
	must(file >= 0 && write(file, "0123456789", 10) == 10);
	struct ring single = set_up(URING_SETUP_SINGLE_ISSUER);
	struct ring deferred = set_up(URING_SETUP_SINGLE_ISSUER | URING_SETUP_DEFER_TASKRUN);

	e2e_wait();

	check(&single);
	/* its work waits for who asks */
	take(&deferred, 100, 10);
	take(&deferred, 101, 10);
	submit(&deferred, read_fixed(200));
	usleep(20000);
	same(*at(&deferred, deferred.p.cq_off.tail), *at(&deferred, deferred.p.cq_off.head));
	take(&deferred, 200, 10);
	submit(&deferred, read_fixed(100));
	submit(&deferred, read_fixed(101));
	check(&deferred);
	return 0;
}
