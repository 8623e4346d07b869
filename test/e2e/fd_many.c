/*
 * As many descriptors as a tight limit permits, of several kinds, in no order; ckpt has the same limit (programs.def).
 * A child has inherited all, closed some and has others by these numbers.
 */
#include "e2e.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define LIMIT 1050
#define FIRST 10
#define MANY 990 /* a multiple of 9 */

static int fds[MANY]; /* of nine, three are files, two a pipe, two a pair of sockets, one an eventfd, one a duplicate */

static uint64_t read_number(int fd)
{
	uint64_t n = 0;

	must(read(fd, &n, sizeof(n)) == sizeof(n));
	return n;
}

static void open_all(void)
{
	char name[32];

	for (uint64_t i = 0; i < MANY; i += 9) {
		int *f = &fds[i];

		for (int j = 0; j < 3; j++) {
			snprintf(name, sizeof(name), "file-%ld-%d", (long)i, j);
			f[j] = open(e2e_path(name), O_RDWR | O_CREAT | (j ? O_CLOEXEC : 0), 0600);
			must(f[j] >= 0 && lseek(f[j], i + j, SEEK_SET) == (off_t)i + j);
		}
		must(!pipe2(&f[3], i % 2 ? O_CLOEXEC : 0) &&
		     !socketpair(AF_UNIX, SOCK_STREAM | (i % 2 ? 0 : SOCK_CLOEXEC), 0, &f[5]));
		must(write(f[4], &i, sizeof(i)) == sizeof(i) && write(f[6], &i, sizeof(i)) == sizeof(i));
		f[7] = eventfd(i + 1, 0);
		f[8] = dup(f[0]);
		must(f[7] >= 0 && f[8] >= 0);
	}
}

/* Numbers change places, so that none is where it would come by itself. */
static void shuffle(void)
{
	uint64_t x = 88172645463325252ull;

	for (int i = MANY - 1; i > 0; i--) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		int j = x % (i + 1), a = fds[i], b = fds[j];
		int flags_a = fcntl(a, F_GETFD), flags_b = fcntl(b, F_GETFD), spare = dup(a);

		must(i == j || (spare >= 0 && dup3(b, a, flags_b ? O_CLOEXEC : 0) == a &&
				dup3(spare, b, flags_a ? O_CLOEXEC : 0) == b));
		close(spare);
		fds[i] = b;
		fds[j] = a;
	}
}

static void check(int from, int to)
{
	for (uint64_t i = from; i < (uint64_t)to; i += 9) {
		int *f = &fds[i];

		for (int j = 0; j < 3; j++) {
			same(lseek(f[j], 0, SEEK_CUR), i + j);
			same(fcntl(f[j], F_GETFD), j ? FD_CLOEXEC : 0);
		}
		for (int j = 3; j < 7; j++)
			same(fcntl(f[j], F_GETFD), (i % 2) == (j < 5) ? FD_CLOEXEC : 0);
		same(read_number(f[3]), i);
		same(read_number(f[5]), i);
		same(read_number(f[7]), i + 1);
		must(write(f[4], &i, sizeof(i)) == sizeof(i) && write(f[6], &i, sizeof(i)) == sizeof(i));
		must(write(f[7], (uint64_t[]){ i + 1 }, sizeof(i)) == sizeof(i));
		must(lseek(f[8], 7, SEEK_SET) == 7 && lseek(f[0], 0, SEEK_CUR) == 7 &&
		     lseek(f[0], i, SEEK_SET) == (off_t)i);
	}
}

static void child(void *arg)
{
	struct stat st;

	for (int i = 0; i < MANY / 2; i++)
		must(!close(fds[i]));
	must(!mkfifo(e2e_path("own"), 0600) && dup2(open(e2e_path("own"), O_RDWR), fds[0]) == fds[0]);
	e2e_child_ready();
	e2e_wait();
	while (access(e2e_path("checked"), F_OK))
		e2e_sleep_ms(2);
	must(!fstat(fds[0], &st) && S_ISFIFO(st.st_mode) && fcntl(fds[1], F_GETFD) < 0);
	check((MANY / 2 / 9 + 1) * 9, MANY);
	_exit(0);
}

int main(int argc, char **argv)
{
	struct rlimit limit = { LIMIT, LIMIT };
	struct epoll_event event = { .events = EPOLLIN };

	e2e_begin(argc, argv);
	must(!setrlimit(RLIMIT_NOFILE, &limit));
	open_all();
	shuffle();
	int epoll = epoll_create1(0);
	for (int i = 0; i < MANY; i += 9) {
		event.data.fd = fds[i + 3];
		must(!epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i + 3], &event));
	}
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	for (int i = 0; i < MANY; i += 9) {
		must(epoll_wait(epoll, &event, 1, 0) == 1 && event.events == EPOLLIN);
		must(!epoll_ctl(epoll, EPOLL_CTL_DEL, event.data.fd, NULL));
	}
	must(!epoll_wait(epoll, &event, 1, 0));
	check(0, MANY);
	e2e_touch("checked");
	e2e_join(pid);
	return 0;
}
