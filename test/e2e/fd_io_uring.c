/*
 * Rings of io_uring(7): untouched; used, with completions that nobody took and a request that was not submitted; used
 * so often that both rings have gone round; of unusual sizes, larger than a page; shared with a child, which has both
 * mappings. They give their completions in order and work on, at the same addresses.
 */
#include "e2e.h"

#include <linux/io_uring.h>
#include <sys/mman.h>

#define RINGS 4
#define READY 11 /* the first completion that nobody took */

struct ring {
	int fd;
	struct io_uring_params p;
	uint8_t *rings, *completions;
	struct io_uring_sqe *sqes;
	uint32_t head, tail; /* as a program keeps them: of what it took, of what it submitted */
};

static struct ring ring[RINGS];
static int file;

static uint32_t *at(struct ring *r, uint32_t offset)
{
	return (uint32_t *)(r->rings + offset);
}

static void set_up(struct ring *r, unsigned int entries, unsigned int completions)
{
	if (completions) {
		r->p.flags = IORING_SETUP_CQSIZE;
		r->p.cq_entries = completions;
	}
	r->fd = syscall(SYS_io_uring_setup, entries, &r->p);
	if (r->fd < 0)
		skip("no io_uring: %s", strerror(errno));
	size_t sq = r->p.sq_off.array + r->p.sq_entries * 4, cq = r->p.cq_off.cqes + r->p.cq_entries * 16;
	r->rings = mmap(NULL, sq > cq ? sq : cq, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQ_RING);
	/* some map it twice, as kernels before 5.4 wanted it */
	r->completions = mmap(NULL, cq, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_CQ_RING);
	r->sqes = mmap(NULL, r->p.sq_entries * 64, PROT_READ | PROT_WRITE, MAP_SHARED, r->fd, IORING_OFF_SQES);
	must(r->rings != MAP_FAILED && r->completions != MAP_FAILED && r->sqes != MAP_FAILED);
}

/* Prepares a read of one byte; it is submitted with all that were prepared before. */
static void prepare(struct ring *r, uint64_t data)
{
	static char byte;
	uint32_t slot = r->tail & (r->p.sq_entries - 1);

	r->sqes[slot] = (struct io_uring_sqe){
		.opcode = IORING_OP_READ, .fd = file, .addr = (uintptr_t)&byte, .len = 1, .off = 3, .user_data = data
	};
	at(r, r->p.sq_off.array)[slot] = slot;
	__atomic_store_n(at(r, r->p.sq_off.tail), ++r->tail, __ATOMIC_RELEASE);
}

static void submit(struct ring *r, unsigned int n)
{
	must(syscall(SYS_io_uring_enter, r->fd, n, n, IORING_ENTER_GETEVENTS, NULL, 0) == (long)n);
}

static void take(struct ring *r, uint64_t data)
{
	struct io_uring_cqe *cqe = (struct io_uring_cqe *)(r->completions + r->p.cq_off.cqes);

	same(*at(r, r->p.cq_off.head), r->head);
	must(__atomic_load_n(at(r, r->p.cq_off.tail), __ATOMIC_ACQUIRE) != r->head);
	cqe += r->head & (r->p.cq_entries - 1);
	same(cqe->user_data, data);
	same(cqe->res, 1);
	__atomic_store_n(at(r, r->p.cq_off.head), ++r->head, __ATOMIC_RELEASE);
}

static void use(struct ring *r, unsigned int times)
{
	for (unsigned int i = 0; i < times; i++) {
		prepare(r, i);
		submit(r, 1);
		take(r, i);
	}
}

static void nothing_left(struct ring *r)
{
	same(*at(r, r->p.cq_off.tail), r->head);
	same(*at(r, r->p.cq_off.overflow), 0);
	same(*at(r, r->p.sq_off.dropped), 0);
	same(*at(r, r->p.sq_off.head), r->tail);
	same(*at(r, r->p.sq_off.ring_mask), r->p.sq_entries - 1);
	same(*at(r, r->p.cq_off.ring_entries), r->p.cq_entries);
}

static void child(void *arg)
{
	must(!close(ring[0].fd));
	e2e_child_ready();
	e2e_wait();
	for (int i = 0; i < RINGS; i++) /* the parent uses them first */
		while (__atomic_load_n((uint32_t *)arg, __ATOMIC_ACQUIRE) < RINGS)
			usleep(1000);
	same(*at(&ring[0], ring[0].p.sq_off.head), 300); /* of this one it has the mappings only */
	for (int i = 1; i < RINGS; i++) {
		ring[i].head = ring[i].tail = *at(&ring[i], ring[i].p.cq_off.tail);
		use(&ring[i], 100);
		nothing_left(&ring[i]);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	uint32_t *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	e2e_begin(argc, argv);
	file = open("file", O_CREAT | O_RDWR, 0600);
	must(done != MAP_FAILED && file >= 0 && write(file, "0123456789", 10) == 10);
	set_up(&ring[0], 1, 0);
	set_up(&ring[1], 8, 0);
	set_up(&ring[2], 4, 64);
	set_up(&ring[3], 256, 4096);
	use(&ring[1], 8 + 3);
	for (int i = 0; i < 5; i++)
		prepare(&ring[1], READY + i);
	submit(&ring[1], 5);
	prepare(&ring[1], READY + 5);
	use(&ring[2], 1000);
	use(&ring[3], 10000);
	for (int i = 0; i < 200; i++)
		prepare(&ring[3], i);
	submit(&ring[3], 200);
	pid_t pid = e2e_fork(child, done);

	e2e_wait();

	nothing_left(&ring[0]);
	for (int i = 0; i < 5; i++)
		take(&ring[1], READY + i);
	submit(&ring[1], 1);
	take(&ring[1], READY + 5);
	nothing_left(&ring[2]);
	for (int i = 0; i < 200; i++)
		take(&ring[3], i);
	for (int i = 0; i < RINGS; i++) {
		use(&ring[i], 300);
		nothing_left(&ring[i]);
		__atomic_add_fetch(done, 1, __ATOMIC_RELEASE);
	}
	e2e_join(pid);
	return 0;
}
