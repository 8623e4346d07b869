/*
 * The vDSO: its functions answer, called through libc and through the address that the auxiliary vector gives, in the
 * main thread and in a child that makes use of them all the time.
 */
#include "vdso.h"

static long ns(clockid_t clock)
{
	struct timespec t;

	must(!clock_gettime(clock, &t));
	return t.tv_sec * 1000000000 + t.tv_nsec;
}

/* It may be stopped inside of them. */
static void child(void *unused)
{
	e2e_child_ready();
	while (!e2e_time_to_check())
		for (int i = 0; i < 10000; i++)
			must(ns(CLOCK_MONOTONIC) > 0);
	vdso_check();
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	char *base = (char *)getauxval(AT_SYSINFO_EHDR);
	if (!base)
		skip("no vDSO");
	long before = ns(CLOCK_REALTIME), mono = ns(CLOCK_MONOTONIC);
	vdso_find(base);
	void *gettime = vdso.clock_gettime;
	vdso_check();
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	must(ns(CLOCK_REALTIME) > before);
	must(ns(CLOCK_MONOTONIC) > mono);
	must(ns(CLOCK_REALTIME) - before < 3600l * 1000000000);
	must((char *)getauxval(AT_SYSINFO_EHDR) == base);
	vdso_find(base);
	must(gettime == (void *)vdso.clock_gettime);
	vdso_check();
	e2e_join(pid);
	return 0;
}
