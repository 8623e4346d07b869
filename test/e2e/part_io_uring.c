/*
 * What tasks have with rings of io_uring(7): registered buffers, with empty places between them; registered files: a
 * regular one and a socket, with empty places, too; a thread that waits for a completion; a kernel thread that has
 * worked for the task.
 */
#include "e2e.h"

#include <linux/io_uring.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

static struct io_uring_params p;
static uint8_t *rings;
static struct io_uring_sqe *sqes;
static int fd, file, pair[2];
static char buffer[3][5000];

static uint32_t *at(uint32_t offset)
{
	return (uint32_t *)(rings + offset);
}

static void submit(struct io_uring_sqe sqe)
{
	uint32_t tail = *at(p.sq_off.tail);

	sqes[tail & (p.sq_entries - 1)] = sqe;
	at(p.sq_off.array)[tail & (p.sq_entries - 1)] = tail & (p.sq_entries - 1);
	__atomic_store_n(at(p.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	must(syscall(SYS_io_uring_enter, fd, 1, 0, 0, NULL, 0) == 1);
}

static struct io_uring_cqe take(void)
{
	must(syscall(SYS_io_uring_enter, fd, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 0);
	uint32_t head = *at(p.cq_off.head);
	struct io_uring_cqe cqe = ((struct io_uring_cqe *)(rings + p.cq_off.cqes))[head & (p.cq_entries - 1)];
	__atomic_store_n(at(p.cq_off.head), head + 1, __ATOMIC_RELEASE);
	return cqe;
}

static struct io_uring_sqe read_fixed(int index)
{
	return (struct io_uring_sqe){ .opcode = IORING_OP_READ_FIXED,
				      .fd = file,
				      .addr = (uint64_t)buffer[index > 1],
				      .len = 4000,
				      .buf_index = index,
				      .user_data = index };
}

static void read_into(int index, int result)
{
	memset(buffer, 0, sizeof(buffer));
	submit(read_fixed(index));
	struct io_uring_cqe cqe = take();
	same(cqe.user_data, index);
	same(cqe.res, result);
	must(result < 0 || (buffer[index > 1][0] == 'x' && buffer[index > 1][3999] == 'x'));
}

/* By a thread of the kernel's. */
static void read_elsewhere(void)
{
	submit((struct io_uring_sqe){ .opcode = IORING_OP_FSYNC, .fd = file, .flags = IOSQE_ASYNC, .user_data = 9 });
	same(take().user_data, 9);
}

static bool ready;

static void *wait_for_one(void *arg)
{
	__atomic_store_n(&ready, true, __ATOMIC_RELEASE);
	same(take().user_data, 77);
	return NULL;
}

static void register_all(void)
{
	struct iovec list[5] = { [1] = { buffer[0], 4096 }, [3] = { buffer[1], 5000 } };
	int files[7] = { -1, -1, file, -1, pair[1], -1, -1 };

	if (syscall(SYS_io_uring_register, fd, IORING_REGISTER_BUFFERS, list, 5))
		skip("such buffers can't be registered: %s", strerror(errno));
	must(!syscall(SYS_io_uring_register, fd, IORING_REGISTER_FILES, files, 7));
}

int main(int argc, char **argv)
{
	pthread_t thread;

	e2e_begin(argc, argv);
	fd = syscall(SYS_io_uring_setup, 4, &p);
	if (fd < 0)
		skip("no io_uring: %s", strerror(errno));
	rings = mmap(NULL, p.sq_off.array + p.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	sqes = mmap(NULL, p.sq_entries * 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQES);
	must(rings != MAP_FAILED && sqes != MAP_FAILED);
	file = open("file", O_CREAT | O_RDWR, 0600);
	memset(buffer[2], 'x', sizeof(buffer[2]));
	must(file >= 0 && write(file, buffer[2], 5000) == 5000);
	must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	register_all();
	read_elsewhere();
	read_into(3, 4000);
	must(!pthread_create(&thread, NULL, wait_for_one, NULL));
	while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
		usleep(1000);

	e2e_wait();

	submit((struct io_uring_sqe){ .opcode = IORING_OP_NOP, .user_data = 77 });
	must(!pthread_join(thread, NULL));
	read_into(1, 4000);
	read_into(3, 4000);
	read_into(0, -EFAULT);
	read_elsewhere();
	submit((struct io_uring_sqe){
		.opcode = IORING_OP_SEND, .fd = 4, .flags = IOSQE_FIXED_FILE, .addr = (uint64_t) "hello", .len = 6 });
	same(take().res, 6);
	must(read(pair[0], buffer[0], 100) == 6 && !strcmp(buffer[0], "hello"));
	submit((struct io_uring_sqe){ .opcode = IORING_OP_FSYNC, .fd = 2, .flags = IOSQE_FIXED_FILE });
	same(take().res, 0);
	submit((struct io_uring_sqe){ .opcode = IORING_OP_FSYNC, .fd = 3, .flags = IOSQE_FIXED_FILE });
	same(take().res, -EBADF);
	int one = file;
	struct io_uring_files_update update = { .offset = 6, .fds = (uint64_t)&one };
	must(syscall(SYS_io_uring_register, fd, IORING_REGISTER_FILES_UPDATE, &update, 1) == 1);
	submit((struct io_uring_sqe){ .opcode = IORING_OP_FSYNC, .fd = 6, .flags = IOSQE_FIXED_FILE, .user_data = 5 });
	same(take().res, 0);
	must(!syscall(SYS_io_uring_register, fd, IORING_UNREGISTER_BUFFERS, NULL, 0));
	must(!syscall(SYS_io_uring_register, fd, IORING_UNREGISTER_FILES, NULL, 0));
	return 0;
}
