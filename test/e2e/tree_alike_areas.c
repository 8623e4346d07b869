/*
 * Processes that have the areas and descriptors of their parent, but for one thing each: what is known of the parent's
 * must not be taken for theirs. Two of each kind.
 */
#include "e2e.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

#define PAGES 8
#define SIZE (PAGES * E2E_PAGE)

enum {
	NOTHING,
	HEAP,
	ADVICE,
	LOCK,
	PROTECTION,
	HOLE,
	MOVED,
	NEW,
	SHARED,
	OTHER_FILE,
	OTHER_PAGE,
	NAME,
	CLOSED,
	CLOEXEC,
	OPENED,
	REPLACED,
	EXCHANGED,
	ALL,
};

static char *plain, *other, *file; /* areas that all have */
static char *brk_before;
static int fds[3]; /* regular files, all with what their number is in them */

static int open_file(const char *name, char c)
{
	int fd = open(e2e_path(name), O_RDWR | O_CREAT | O_TRUNC, 0600);
	char page[E2E_PAGE];

	must(fd >= 0);
	for (int i = 0; i < PAGES; i++) {
		memset(page, c + i, sizeof(page));
		must(write(fd, page, sizeof(page)) == sizeof(page));
	}
	must(!lseek(fd, c, SEEK_SET) || c);
	return fd;
}

static char *map(void *at, int flags, int fd, off_t offset)
{
	char *p = mmap(at, SIZE, PROT_READ | PROT_WRITE, flags | (at ? MAP_FIXED : 0), fd, offset);

	must(p != MAP_FAILED);
	return p;
}

static void set_areas(int what)
{
	must(what != HEAP || sbrk(5 * E2E_PAGE) != (void *)-1);
	must(what != ADVICE || !madvise(plain, SIZE, MADV_DONTFORK));
	must(what != LOCK || !mlock(plain, SIZE));
	must(what != PROTECTION || !mprotect(plain, SIZE, PROT_READ));
	must(what != HOLE || !munmap(plain + E2E_PAGE, E2E_PAGE));
	must(what != MOVED || mremap(plain, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, other) == other);
	if (what == NEW)
		plain = map(NULL, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (what == SHARED)
		map(plain, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (what == OTHER_FILE)
		map(file, MAP_PRIVATE, fds[1], 0);
	if (what == OTHER_PAGE)
		map(file, MAP_PRIVATE, fds[0], E2E_PAGE);
	if (what == NAME) /* kernels may lack these */
		prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, plain, SIZE, "ckpt test");
}

static void set(int what, int number)
{
	set_areas(what);
	must(what != CLOSED || !close(fds[0]));
	must(what != CLOEXEC || !fcntl(fds[0], F_SETFD, FD_CLOEXEC));
	if (what == OPENED || what == REPLACED) {
		char name[32];

		snprintf(name, sizeof(name), "own-%d", number);
		int fd = open_file(name, 'x');
		must(what == OPENED || dup2(fd, fds[0]) == fds[0]);
		must(what == OPENED || !close(fd));
	}
	if (what == EXCHANGED) {
		int fd = dup(fds[0]);

		must(dup2(fds[1], fds[0]) == fds[0] && dup2(fd, fds[1]) == fds[1] && !close(fd));
	}
}

static char at_start(int fd)
{
	char c = 0;

	must(pread(fd, &c, 1, 0) == 1);
	return c;
}

static bool is_mapped(const char *at)
{
	unsigned char there;

	return !mincore((void *)at, E2E_PAGE, &there);
}

static void check_areas(int what)
{
	same((char *)sbrk(0) - brk_before, what == HEAP ? 5 * (long)E2E_PAGE : 0);
	same(is_mapped(plain + E2E_PAGE), what != HOLE && what != MOVED);
	same(is_mapped(plain), what != MOVED);
	if (what == MOVED)
		plain = other;
	same(plain[0], what == NEW || what == SHARED ? 0 : 'p');
	if (what == HEAP)
		memset(brk_before, 1, 5 * E2E_PAGE);
	if (what != PROTECTION)
		plain[0] = 'q';
	same(file[0], what == OTHER_FILE ? 'b' : what == OTHER_PAGE ? 'b' : 'a');
	file[1] = 'q'; /* private to it */
	if (what == ADVICE || what == LOCK) {
		int status;
		pid_t pid = fork();

		if (!pid)
			_exit(is_mapped(plain));
		must(pid > 0 && waitpid(pid, &status, 0) == pid);
		same(status, what == LOCK ? 1 << 8 : 0);
		same(madvise(plain, SIZE, MADV_DONTNEED) != 0, what == LOCK); /* locked pages stay */
	}
}

static void check_fds(int what)
{
	same(fcntl(fds[0], F_GETFD), what == CLOSED ? -1 : what == CLOEXEC ? FD_CLOEXEC : 0);
	if (what != CLOSED)
		same(at_start(fds[0]), what == REPLACED ? 'x' : what == EXCHANGED ? 'b' : 'a');
	same(at_start(fds[1]), what == EXCHANGED ? 'a' : 'b');
	same(at_start(fds[2]), 'c');
	same(fcntl(fds[2] + 1, F_GETFD), what == OPENED ? 0 : -1);
}

static void child(void *arg)
{
	int number = (long)arg, what = number % ALL;

	set(what, number);
	e2e_child_ready();
	e2e_wait();
	check_areas(what);
	check_fds(what);
}

int main(int argc, char **argv)
{
	pid_t pids[2 * ALL];

	e2e_begin(argc, argv);
	for (int i = 0; i < 3; i++)
		fds[i] = open_file((char[]){ 'a' + i, 0 }, 'a' + i);
	plain = map(NULL, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(plain, 'p', SIZE);
	other = map(NULL, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	file = map(NULL, MAP_PRIVATE, fds[0], 0);
	must(!munmap(other, SIZE));
	brk_before = sbrk(0);
	for (long i = 0; i < 2 * ALL; i++)
		pids[i] = e2e_fork(child, (void *)i);
	e2e_wait();
	for (int i = 0; i < 2 * ALL; i++)
		e2e_join(pids[i]);
	return 0;
}
