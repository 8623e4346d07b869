/*
 * Processes that are alike but for one thing each: what one of them says of itself must not be taken for the others.
 * Two of each kind, and threads that differ from their main thread.
 */
#include "e2e.h"

#include <linux/prctl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>

enum {
	NOTHING,
	ACTION,
	IGNORED,
	BREAK,
	PERSONALITY,
	SLACK,
	SUBREAPER,
	HUGE,
	DUMPABLE,
	LOCKS,
	TIMER,
	INTERVAL,
	POSIX_TIMER,
	KEPT_CAPS,
	NO_NEW_PRIVS,
	DEATH,
	STACK,
	TID_ADDRESS,
	ALL,
};

static char *brk_before;
static char alternate[65536];
static int tid_address[ALL];

static void handler(int sig)
{
	(void)sig;
}

static void set(int what)
{
	struct sigaction action = { .sa_handler = what == ACTION ? handler : SIG_IGN, .sa_flags = SA_RESTART };
	struct itimerval timer = { { what == INTERVAL ? 5000 : 0, 0 }, { 100000, 0 } };
	struct sigevent event = { .sigev_notify = SIGEV_NONE };
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	timer_t id;

	if (what == ACTION || what == IGNORED) {
		sigaddset(&action.sa_mask, SIGUSR2);
		must(!sigaction(SIGRTMIN + 7, &action, NULL));
	}
	must(what != BREAK || sbrk(3 * E2E_PAGE) != (void *)-1);
	must(what != PERSONALITY || personality(ADDR_NO_RANDOMIZE) >= 0);
	must(what != SLACK || !prctl(PR_SET_TIMERSLACK, 123456));
	must(what != SUBREAPER || !prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	must(what != HUGE || !prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	must(what != DUMPABLE || !prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	must(what != LOCKS || !mlockall(MCL_FUTURE));
	must((what != TIMER && what != INTERVAL) || !setitimer(ITIMER_VIRTUAL, &timer, NULL));
	must(what != POSIX_TIMER || !timer_create(CLOCK_MONOTONIC, &event, &id));
	must(what != KEPT_CAPS || !prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	must(what != NO_NEW_PRIVS || !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(what != DEATH || !prctl(PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0));
	must(what != STACK || !sigaltstack(&stack, NULL));
	if (what == TID_ADDRESS)
		syscall(SYS_set_tid_address, &tid_address[what]);
}

/* What differs from thread to thread. */
static void check_thread(int what)
{
	int *address = NULL, sig = 0;
	stack_t stack;

	same(prctl(PR_GET_TIMERSLACK) == 123456, what == SLACK);
	same(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), what == KEPT_CAPS);
	same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), what == NO_NEW_PRIVS);
	must(!prctl(PR_GET_PDEATHSIG, &sig) && !prctl(PR_GET_TID_ADDRESS, &address));
	same(sig, what == DEATH ? SIGUSR1 : 0);
	same(address == &tid_address[TID_ADDRESS], what == TID_ADDRESS);
	must(!sigaltstack(NULL, &stack));
	same(stack.ss_flags, what == STACK ? 0 : SS_DISABLE);
	same(stack.ss_sp == alternate, what == STACK);
}

static void check_task(int what)
{
	struct sigaction action;
	struct itimerval timer;
	int subreaper = 0;

	must(!sigaction(SIGRTMIN + 7, NULL, &action));
	must(action.sa_handler == (what == ACTION ? handler : what == IGNORED ? SIG_IGN : SIG_DFL));
	same(action.sa_flags & SA_RESTART, what == ACTION || what == IGNORED ? SA_RESTART : 0);
	same(sigismember(&action.sa_mask, SIGUSR2), what == ACTION || what == IGNORED);
	same((char *)sbrk(0) - brk_before, what == BREAK ? 3 * (long)E2E_PAGE : 0);
	same(personality(0xffffffff) & ADDR_NO_RANDOMIZE, what == PERSONALITY ? ADDR_NO_RANDOMIZE : 0);
	must(!prctl(PR_GET_CHILD_SUBREAPER, &subreaper, 0, 0, 0));
	same(subreaper, what == SUBREAPER);
	same(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), what == HUGE);
	same(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), what != DUMPABLE);
	must(!getitimer(ITIMER_VIRTUAL, &timer));
	same(timer.it_value.tv_sec > 0, what == TIMER || what == INTERVAL);
	same(timer.it_interval.tv_sec, what == INTERVAL ? 5000 : 0);
	struct itimerspec left;
	same(syscall(SYS_timer_gettime, 0, &left) == 0, what == POSIX_TIMER);
	char *page = mmap(NULL, E2E_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(page != MAP_FAILED);
	same(madvise(page, E2E_PAGE, MADV_DONTNEED) != 0, what == LOCKS); /* locked pages stay */
	must(!munmap(page, E2E_PAGE));
}

static void child(void *arg)
{
	int what = (long)arg;

	set(what);
	e2e_child_ready();
	e2e_wait();
	check_thread(what);
	check_task(what);
}

static pthread_barrier_t barrier;

static void *thread(void *arg)
{
	int what = (long)arg;

	if (what == SLACK || what > KEPT_CAPS)
		set(what);
	pthread_barrier_wait(&barrier);
	e2e_wait();
	int *address = NULL;
	must(!prctl(PR_GET_TID_ADDRESS, &address));
	same(address == &tid_address[TID_ADDRESS], what == TID_ADDRESS);
	same(prctl(PR_GET_TIMERSLACK) == 123456, what == SLACK);
	same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), what == NO_NEW_PRIVS);
	return NULL;
}

static void many_threads(void *arg)
{
	pthread_t ids[ALL];

	(void)arg;
	must(!pthread_barrier_init(&barrier, NULL, ALL + 1));
	for (long i = 0; i < ALL; i++)
		must(!pthread_create(&ids[i], NULL, thread, (void *)i));
	pthread_barrier_wait(&barrier);
	brk_before = sbrk(0);
	e2e_child_ready();
	e2e_wait();
	check_task(NOTHING);
	for (long i = 0; i < ALL; i++)
		if (i != TID_ADDRESS) /* nobody is told of its end */
			must(!pthread_join(ids[i], NULL));
}

int main(int argc, char **argv)
{
	pid_t pids[2 * ALL + 1];

	e2e_begin(argc, argv);
	brk_before = sbrk(0);
	for (long i = 0; i < 2 * ALL; i++)
		pids[i] = e2e_fork(child, (void *)(i % ALL));
	pids[2 * ALL] = e2e_fork(many_threads, NULL);
	e2e_wait();
	for (int i = 0; i <= 2 * ALL; i++)
		e2e_join(pids[i]);
	return 0;
}
