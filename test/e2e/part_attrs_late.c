/*
 * Attributes that newer kernels have, each where it exists: the nice value of a session's autogroup, huge pages only
 * where they are advised, merging of equal pages, no time stamp counter.
 */
#include "e2e.h"

#define PR_SET_MEMORY_MERGE_ 67
#define PR_GET_MEMORY_MERGE_ 68

static int autogroup(void)
{
	char text[64] = "", *nice;
	int fd = open("/proc/self/autogroup", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return 99;
	close(fd);
	nice = strstr(text, " nice ");
	return nice ? atoi(nice + 6) : 99;
}

static void set_autogroup(const char *value)
{
	int fd = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		must(write(fd, value, strlen(value)) > 0);
	close(fd);
}

static void session(void *arg)
{
	must(setsid() > 0);
	set_autogroup("-3");
	int before = autogroup();
	e2e_child_ready();
	e2e_wait();
	same(autogroup(), before);
	_exit(0);
}

static void no_tsc(void *arg)
{
	int tsc = 0;

	must(!prctl(PR_SET_TSC, PR_TSC_SIGSEGV));
	e2e_child_ready();
	/* without e2e_wait: the vDSO reads it, which the C library's clock does too */
	while (!e2e_time_to_check())
		syscall(SYS_nanosleep, &(struct timespec){ .tv_nsec = 3000000 }, NULL);
	must(!prctl(PR_GET_TSC, &tsc));
	same(tsc, PR_TSC_SIGSEGV);
	_exit(0);
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	set_autogroup("7");
	prctl(PR_SET_THP_DISABLE, 1, 2, 0, 0); /* PR_THP_DISABLE_EXCEPT_ADVISED */
	prctl(PR_SET_MEMORY_MERGE_, 1, 0, 0, 0);
	int group = autogroup(), thp = prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0);
	int merge = prctl(PR_GET_MEMORY_MERGE_, 0, 0, 0, 0);
	pid_t other = e2e_fork(session, NULL), timeless = e2e_fork(no_tsc, NULL);

	e2e_wait();

	same(autogroup(), group);
	same(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), thp);
	same(prctl(PR_GET_MEMORY_MERGE_, 0, 0, 0, 0), merge);
	e2e_join(other);
	e2e_join(timeless);
	return 0;
}
