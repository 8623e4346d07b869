/*
 * Memfds: contents with holes, size that is no multiple of a page, position, mode, owner, names, seals of all kinds;
 * mapped shared, private and read-only; shared by descriptors and mappings with a child; mapped only; executed.
 */
#include "e2e.h"

#define PAGES 64
#define SEALS 6
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

static const int seals[SEALS] = {
	F_SEAL_SHRINK,
	F_SEAL_GROW | F_SEAL_SHRINK,
	F_SEAL_WRITE | F_SEAL_SHRINK,
	F_SEAL_FUTURE_WRITE,
	F_SEAL_FUTURE_WRITE | F_SEAL_SEAL | F_SEAL_GROW,
	F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL,
};
static int sealed[SEALS];
static char *shared, *future;
static int data;

static void expect_link(int fd, const char *link)
{
	char path[32], buf[128] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(readlink(path, buf, sizeof(buf) - 1) > 0);
	if (strcmp(buf, link))
		fail("fd %d is %s, not %s", fd, buf, link);
}

static int reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int again = open(path, flags);
	must(again >= 0);
	return again;
}

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	strcpy(shared + E2E_PAGE, "from the child");
	must(lseek(data, 0, SEEK_CUR) == 777 && lseek(data, 888, SEEK_SET) == 888);
	future[1] = 'c';
	_exit(0);
}

static void check_seals(void)
{
	for (int i = 0; i < SEALS; i++) {
		char word[16] = "";

		same(fcntl(sealed[i], F_GET_SEALS), seals[i]);
		must(pread(sealed[i], word, 5, 0) == 5 && !strcmp(word, "words"));
		must((pwrite(sealed[i], "w", 1, 0) == 1) == !(seals[i] & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)));
		must((ftruncate(sealed[i], 8192) == 0) == !(seals[i] & F_SEAL_GROW));
		must((ftruncate(sealed[i], 3) == 0) == !(seals[i] & F_SEAL_SHRINK));
		must((fcntl(sealed[i], F_ADD_SEALS, F_SEAL_SHRINK) == 0) == !(seals[i] & F_SEAL_SEAL));
	}
}

int main(int argc, char **argv)
{
	struct stat st;

	e2e_begin(argc, argv);
	data = memfd_create("some data", MFD_ALLOW_SEALING);
	int plain = memfd_create("", MFD_CLOEXEC), gone = memfd_create("mapped only", 0);
	must(data >= 0 && plain >= 0 && gone >= 0);
	must(!ftruncate(data, PAGES * E2E_PAGE + 100) && !fchmod(data, 0640) && !fchown(data, 12, 34));
	shared = mmap(NULL, (PAGES + 1) * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, data, 0);
	char *mine = mmap(NULL, 8 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, data, 8 * E2E_PAGE);
	int reader = reopen(data, O_RDONLY | O_NONBLOCK);
	char *ro = mmap(NULL, 4 * E2E_PAGE, PROT_READ, MAP_SHARED, reader, 8 * E2E_PAGE);
	must(shared != MAP_FAILED && mine != MAP_FAILED && ro != MAP_FAILED);
	e2e_fill(shared + 8 * E2E_PAGE, 16 * E2E_PAGE, 1);
	e2e_fill(mine + E2E_PAGE, E2E_PAGE, 2);
	must(pwrite(data, "the end", 7, PAGES * E2E_PAGE + 93) == 7);
	must(lseek(data, 777, SEEK_SET) == 777 && lseek(reader, 55, SEEK_SET) == 55);
	must(write(plain, "plain", 5) == 5 && !ftruncate(gone, 2 * E2E_PAGE));
	char *only = mmap(NULL, 2 * E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, gone, 0);
	must(only != MAP_FAILED && !close(gone));
	strcpy(only + E2E_PAGE, "no descriptor");
	for (int i = 0; i < SEALS; i++) {
		sealed[i] = memfd_create("sealed", MFD_ALLOW_SEALING);
		must(write(sealed[i], "words", 5) == 5);
		if (seals[i] == F_SEAL_FUTURE_WRITE)
			future = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, sealed[i], 0);
		must(!fcntl(sealed[i], F_ADD_SEALS, seals[i]));
	}
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	e2e_join(pid);
	must(!strcmp(shared + E2E_PAGE, "from the child"));
	same(lseek(data, 0, SEEK_CUR), 888);
	same(lseek(reader, 0, SEEK_CUR), 55);
	must(!fstat(data, &st));
	same(st.st_size, PAGES * E2E_PAGE + 100);
	same(st.st_mode, S_IFREG | 0640);
	same(st.st_uid * 100 + st.st_gid, 1234);
	must(st.st_blocks < 30 * 8); /* holes are holes */
	e2e_verify(shared + 8 * E2E_PAGE, 16 * E2E_PAGE, 1, "shared");
	e2e_verify(mine, E2E_PAGE, 1, "private, untouched");
	e2e_verify(mine + E2E_PAGE, E2E_PAGE, 2, "private, written");
	must(!memcmp(shared + PAGES * E2E_PAGE + 93, "the end", 7));
	strcpy(shared + 8 * E2E_PAGE, "new");
	must(!strcmp(ro, "new") && !strcmp(mine, "new"));
	must(mprotect(ro, E2E_PAGE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	must(write(reader, "x", 1) == -1 && errno == EBADF);
	same(fcntl(reader, F_GETFL) & (O_ACCMODE | O_NONBLOCK), O_RDONLY | O_NONBLOCK);
	same(fcntl(data, F_GET_SEALS), 0);
	same(fcntl(plain, F_GET_SEALS), F_SEAL_SEAL);
	expect_link(data, "/memfd:some data (deleted)");
	expect_link(plain, "/memfd: (deleted)");
	must(!strcmp(only + E2E_PAGE, "no descriptor"));
	must(future[1] == 'c');
	future[1] = 'o';
	check_seals();
	return 0;
}
