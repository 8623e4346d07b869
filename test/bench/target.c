/*
 * What the bench dumps: a process that holds what its arguments say, writes one byte to descriptor 3 when it is
 * ready, and then waits for ever.
 *   target page | memory MIB | threads N | processes N | areas N | reserved GIB | descriptors N |
 *   huge MIB (in huge pages) | writer MIB (writes to an eighth of it all the time; /run/pause is the longest time in ns
 *   that it stood still, until somebody sets that to 0) | changer MIB (writes 1% of it when it gets SIGUSR1) |
 *   reader MIB (reads all of it all the time, and counts in /run/ticks)
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct field {
	uint64_t *at;
	size_t n;
};

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

/* No two pages are equal, and none is zero. */
static uint64_t *fill_memory(size_t len, bool huge)
{
	uint64_t *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
		 x = 88172645463325252ull;

	if (at == MAP_FAILED || (huge && madvise(at, len, MADV_HUGEPAGE)))
		exit(1);
	for (size_t i = 0; i < len / 8; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		at[i] = x;
	}
	return at;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void *write_all_the_time(void *arg)
{
	struct field *f = arg;
	int fd = open("/run/pause", O_RDWR | O_CREAT, 0600);
	volatile uint64_t *pause = ftruncate(fd, 4096) ? MAP_FAILED
						       : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint64_t x = 88172645463325252ull, before = now_ns();

	if (pause == MAP_FAILED)
		exit(1);
	close(fd);
	for (;;) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		f->at[x % f->n] = x;
		uint64_t now = now_ns();
		if (now - before > *pause)
			*pause = now - before;
		before = now;
	}
}

static struct field changed;

/* Every hundredth page. */
static void change(int sig)
{
	(void)sig;
	for (size_t i = 0; i < changed.n; i += 51200)
		changed.at[i]++;
	if (unlink("/run/changing"))
		exit(1);
}

static void start_changer(size_t len)
{
	changed = (struct field){ fill_memory(len, false), len / 8 };
	signal(SIGUSR1, change);
}

/* Counts the pages that it has looked at. */
static void *read_all_the_time(void *arg)
{
	struct field *f = arg;
	int fd = open("/run/ticks", O_RDWR | O_CREAT, 0600);
	volatile uint64_t *ticks = ftruncate(fd, 4096) ? MAP_FAILED
						       : mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint64_t x = 88172645463325252ull;

	if (ticks == MAP_FAILED)
		exit(1);
	close(fd);
	for (;;) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		*ticks += 1 + !((volatile uint64_t *)f->at)[x % f->n];
	}
}

static void start_reader(size_t len)
{
	static struct field f;
	pthread_t id;

	f = (struct field){ fill_memory(len, false), len / 8 };
	if (pthread_create(&id, NULL, read_all_the_time, &f))
		exit(1);
}

static void start_writer(size_t len)
{
	static struct field f;
	pthread_t id;

	f = (struct field){ fill_memory(len, false), len / 64 };
	if (pthread_create(&id, NULL, write_all_the_time, &f))
		exit(1);
}

/* Areas of one page each: neighbours differ, so that they stay apart. Every other one has its page. */
static void make_areas(long n)
{
	char *at = mmap(NULL, n * 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED)
		exit(1);
	for (long i = 0; i < n; i += 2) {
		if (mprotect(at + i * 4096, 4096, PROT_READ | PROT_WRITE))
			exit(1);
		at[i * 4096] = 1;
	}
}

/* An address space that is mostly empty: 16 MiB of it in use, in pieces of 64 KiB. */
static void reserve_memory(size_t gib)
{
	size_t len = gib << 30, pieces = 256, piece = 64 << 10;
	char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		exit(1);
	for (size_t i = 0; i < pieces; i++)
		memset(at + len / pieces * i, 1, piece);
}

static void *thread(void *arg)
{
	(void)arg;
	wait_for_ever();
	return NULL;
}

static void start_threads(long n)
{
	pthread_attr_t attr;
	pthread_t id;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (long i = 1; i < n; i++)
		if (pthread_create(&id, &attr, thread, NULL))
			exit(1);
}

static void start_processes(long n)
{
	for (long i = 1; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			exit(1);
		if (pid == 0) {
			close(3);
			wait_for_ever();
		}
	}
}

/* Of ten, four are files, two a pipe, two a pair of sockets, two eventfds. On /run, a tmpfs of the bench. */
static void open_descriptors(long n)
{
	struct rlimit limit;
	char path[64];

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	mkdir("/run/files", 0700);
	for (long i = 0; i < n; i += 10) {
		int pair[2];

		for (int j = 0; j < 4; j++) {
			snprintf(path, sizeof(path), "/run/files/%ld-%d", i, j);
			if (open(path, O_RDWR | O_CREAT, 0600) < 0)
				exit(1);
		}
		if (pipe(pair) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || eventfd(i, 0) < 0 || eventfd(i, 0) < 0)
			exit(1);
	}
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? atol(argv[2]) : 0;

	if (argc < 2)
		return 2;
	if (!strcmp(argv[1], "memory"))
		fill_memory((size_t)n << 20, false);
	else if (!strcmp(argv[1], "huge"))
		fill_memory((size_t)n << 20, true);
	else if (!strcmp(argv[1], "writer"))
		start_writer((size_t)n << 20);
	else if (!strcmp(argv[1], "reader"))
		start_reader((size_t)n << 20);
	else if (!strcmp(argv[1], "changer"))
		start_changer((size_t)n << 20);
	else if (!strcmp(argv[1], "areas"))
		make_areas(n);
	else if (!strcmp(argv[1], "reserved"))
		reserve_memory(n);
	else if (!strcmp(argv[1], "threads"))
		start_threads(n);
	else if (!strcmp(argv[1], "processes"))
		start_processes(n);
	else if (!strcmp(argv[1], "descriptors"))
		open_descriptors(n);
	else if (strcmp(argv[1], "page"))
		return 2;
	if (write(3, "r", 1) != 1)
		return 1;
	close(3);
	wait_for_ever();
}
