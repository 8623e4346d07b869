/*
 * Rings of io_uring(7) that cannot be dumped: with requests on the way that do not end (a poll, a read by a thread of
 * the kernel's, a timeout); set up or used in ways that nothing shows. Each is named, and works on.
 */
#include "e2e.h"

#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#define URING_SETUP_SINGLE_ISSUER (1u << 12) /* linux/io_uring.h, 6.0 */

struct ring {
	int fd;
	struct io_uring_params p;
	uint8_t *rings;
	struct io_uring_sqe *sqes;
};

static struct ring set_up(unsigned int flags)
{
	struct ring r = { .p = { .flags = flags, .sq_thread_idle = 10 } };

	r.fd = syscall(SYS_io_uring_setup, 4, &r.p);
	if (r.fd < 0 && flags)
		return r; /* an older kernel */
	if (r.fd < 0)
		skip("no io_uring: %s", strerror(errno));
	r.rings = mmap(NULL, r.p.sq_off.array + r.p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, 0);
	r.sqes = mmap(NULL, r.p.sq_entries * 64, PROT_READ | PROT_WRITE, MAP_SHARED, r.fd, IORING_OFF_SQES);
	must(r.rings != MAP_FAILED && r.sqes != MAP_FAILED);
	return r;
}

static void submit(struct ring *r, struct io_uring_sqe sqe)
{
	uint32_t *tail = (uint32_t *)(r->rings + r->p.sq_off.tail), slot = *tail & (r->p.sq_entries - 1);

	r->sqes[slot] = sqe;
	((uint32_t *)(r->rings + r->p.sq_off.array))[slot] = slot;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, r->fd, 1, 0, 0, NULL, 0) == 1);
}

static struct io_uring_cqe take(struct ring *r)
{
	uint32_t *head = (uint32_t *)(r->rings + r->p.cq_off.head);

	must(syscall(SYS_io_uring_enter, r->fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 0);
	struct io_uring_cqe cqe = ((struct io_uring_cqe *)(r->rings + r->p.cq_off.cqes))[*head & (r->p.cq_entries - 1)];
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return cqe;
}

static void expect(const struct ring *r, const char *words)
{
	e2e_expect("%d fd %d io_uring %s", getpid(), r->fd, words);
}

static bool ready;

static void *use_by_index(void *arg)
{
	struct ring *r = arg, single = set_up(URING_SETUP_SINGLE_ISSUER);
	struct io_uring_rsrc_update update = { .offset = -1u, .data = r->fd };

	if (single.fd >= 0)
		expect(&single, "SINGLE_ISSUER");
	/* a request makes the thread known as one that uses rings */
	submit(r, (struct io_uring_sqe){ .opcode = IORING_OP_NOP });
	take(r);
	if (syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_RING_FDS, &update, 1) == 1)
		e2e_expect("%d thread %d io_uring index", getpid(), gettid());
	__atomic_store_n(&ready, true, __ATOMIC_RELEASE);
	pause();
	return NULL;
}

static int ends[2];
static char byte;

static void start_requests(struct ring *r)
{
	struct __kernel_timespec *never = malloc(sizeof(*never));

	*never = (struct __kernel_timespec){ 1000, 0 };
	for (int i = 0; i < 3; i++) {
		r[i] = set_up(0);
		expect(&r[i], "1 of its requests is on the way");
	}
	submit(&r[0], (struct io_uring_sqe){ .opcode = IORING_OP_POLL_ADD, .fd = ends[0], .poll32_events = 1 });
	submit(&r[1], (struct io_uring_sqe){ .opcode = IORING_OP_READ,
					     .fd = ends[0],
					     .addr = (uint64_t)&byte,
					     .len = 1,
					     .off = -1ull,
					     .flags = IOSQE_ASYNC });
	submit(&r[2],
	       (struct io_uring_sqe){ .opcode = IORING_OP_TIMEOUT, .addr = (uint64_t)never, .len = 1, .user_data = 8 });
}

static void set_up_strange_ones(void)
{
	int one = eventfd(0, 0);
	struct ring files = set_up(0), told = set_up(0), buffers = set_up(0), gone = set_up(0);
	struct ring disabled = set_up(IORING_SETUP_R_DISABLED), polled = set_up(IORING_SETUP_SQPOLL);

	must(!syscall(SYS_io_uring_register, files.fd, IORING_REGISTER_FILES, &one, 1));
	expect(&files, "registered files");
	must(!syscall(SYS_io_uring_register, told.fd, IORING_REGISTER_EVENTFD, &one, 1));
	expect(&told, "eventfd");
	submit(&buffers, (struct io_uring_sqe){
				 .opcode = IORING_OP_PROVIDE_BUFFERS, .fd = 1, .addr = (uint64_t)&byte, .len = 1 });
	take(&buffers);
	expect(&buffers, "provided buffers");
	must(!close(gone.fd));
	e2e_expect("%d area %lx io_uring closed", getpid(), (long)gone.rings);
	expect(&disabled, "R_DISABLED");
	expect(&polled, "SQPOLL");
}

int main(int argc, char **argv)
{
	struct ring r[3], indexed;
	pthread_t thread;

	e2e_begin(argc, argv);
	must(!pipe(ends));
	start_requests(r);
	set_up_strange_ones();
	indexed = set_up(0);
	must(!pthread_create(&thread, NULL, use_by_index, &indexed));
	while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
		usleep(1000);

	e2e_wait();

	must(write(ends[1], "x", 1) == 1);
	same(take(&r[0]).res, 1);
	same(take(&r[1]).res, 1);
	submit(&r[2], (struct io_uring_sqe){ .opcode = IORING_OP_TIMEOUT_REMOVE, .addr = 8 });
	for (int i = 0; i < 2; i++) {
		struct io_uring_cqe cqe = take(&r[2]);

		same(cqe.res, cqe.user_data ? -ECANCELED : 0);
	}
	return 0;
}
