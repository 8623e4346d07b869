/*
 * Processes that share their table of descriptors, their directories and umask, or both, by clone(2): with the parent,
 * with a sibling, with a grandparent whose child has parted with it, with a task in another session.
 */
#include "e2e.h"

#include <sched.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BOTH (CLONE_FILES | CLONE_FS)
#define LATER 77 /* the descriptor that one opens for all when it is time to check */

struct common {
	int ready, done, adopted;
	bool opened, moved;
} * common;

static int own = -1; /* of whoever has its own table */
static pid_t started; /* the first task */

static pid_t make(int (*run)(void *), int flags)
{
	static char stack[65536] __attribute__((aligned(16)));
	int before = common->ready;
	pid_t pid = clone(run, stack + sizeof(stack), flags | SIGCHLD, (void *)(long)flags);

	must(pid > 0);
	while (__atomic_load_n(&common->ready, __ATOMIC_SEQ_CST) == before)
		e2e_sleep_ms(1);
	return pid;
}

static mode_t get_umask(void)
{
	char line[256];
	unsigned int mask = 0;
	FILE *f = fopen("/proc/thread-self/status", "re");

	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "Umask: %o", &mask);
	if (f)
		fclose(f);
	return mask;
}

/* What it sees of what the first task does after the restore. */
static void check(int shared)
{
	char cwd[PATH_MAX] = "";

	__atomic_add_fetch(&common->ready, 1, __ATOMIC_SEQ_CST);
	e2e_wait();
	while (!__atomic_load_n(&common->opened, __ATOMIC_SEQ_CST))
		e2e_sleep_ms(1);
	same(fcntl(LATER, F_GETFD) >= 0, !!(shared & CLONE_FILES));
	must(getcwd(cwd, sizeof(cwd)));
	same(!strcmp(strrchr(cwd, '/'), "/moved"), !!(shared & CLONE_FS));
	same(get_umask() == 0135, !!(shared & CLONE_FS));
	must(own < 0 || fcntl(own, F_GETFD) >= 0);
	while (wait(NULL) > 0)
		;
	__atomic_add_fetch(&common->done, 1, __ATOMIC_SEQ_CST);
	_exit(0);
}

static int plain(void *flags)
{
	check((long)flags);
	return 0;
}

/* Its child has what it parts with itself. */
static int between(void *flags)
{
	make(plain, (long)flags);
	must(!unshare((long)flags) && !chdir("other"));
	umask(0001);
	own = open("mine", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	must(own > 0 && !unlink("mine"));
	check(0);
	return 0;
}

static int sees_own(void *flags)
{
	must(fcntl(own, F_GETFD) >= 0);
	check(0);
	return 0;
}

/* Shares a table with a sibling that it makes, not with its parent. */
static int elder(void *flags)
{
	own = open("/dev/null", O_RDONLY);
	must(own > 0);
	make(sees_own, CLONE_FILES | CLONE_PARENT);
	check(0);
	return 0;
}

static int aside(void *flags)
{
	make(elder, 0);
	check(0);
	return 0;
}

static int lost(void *flags)
{
	pid_t parent = (pid_t)common->adopted;

	__atomic_add_fetch(&common->ready, 1, __ATOMIC_SEQ_CST);
	while (getppid() == parent)
		e2e_sleep_ms(1);
	check(CLONE_FILES);
	return 0;
}

static int loses(void *flags)
{
	common->adopted = getpid();
	make(lost, CLONE_FILES);
	_exit(0);
}

/* Its grandchild, whose parent ends, goes to the first task. */
static int leads(void *flags)
{
	pid_t pid;

	must(setsid() > 0);
	pid = make(loses, CLONE_FILES);
	must(waitpid(pid, NULL, 0) == pid);
	check(CLONE_FILES);
	return 0;
}

static int above(void *flags)
{
	make(leads, CLONE_FILES);
	check(CLONE_FILES);
	return 0;
}

int main(int argc, char **argv)
{
	static const int flags[] = { BOTH, CLONE_FILES, CLONE_FS, 0 };
	struct sockaddr_un name = { AF_UNIX, "bound" };
	char c = 0;
	int fd, p[2], status, n = 0;

	e2e_begin(argc, argv);
	common = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(common != MAP_FAILED && !mkdir("moved", 0755) && !mkdir("other", 0755));
	started = getpid();
	must(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	umask(0027);
	must((fd = socket(AF_UNIX, SOCK_STREAM, 0)) > 0 && !bind(fd, (struct sockaddr *)&name, sizeof(name)));
	must((fd = open("gone", O_RDWR | O_CREAT, 0600)) > 0 && !unlink("gone") && write(fd, "gone", 4) == 4);
	must(!pipe(p) && write(p[1], "x", 1) == 1);
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		make(plain, flags[i]);
	pid_t pid = make(between, BOTH);
	must(pidfd_open(pid, 0) > 0); /* of one that is younger */
	make(aside, 0);
	make(above, CLONE_FILES);
	while (common->ready < 13)
		e2e_sleep_ms(1);

	e2e_wait();

	must(read(p[0], &c, 1) == 1 && c == 'x');
	must(!chdir("moved") && dup2(p[0], LATER) == LATER);
	umask(0135);
	__atomic_store_n(&common->opened, true, __ATOMIC_SEQ_CST);
	while (wait(&status) > 0)
		n += WIFEXITED(status) && !WEXITSTATUS(status);
	same(n, 8);
	same(common->done, 12);
	return 0;
}
