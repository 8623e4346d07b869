/*
 * Signals: actions with flags and masks, blocked masks of each thread, alternate stacks, pending signals of the process
 * and of single threads with the values that sigqueue gave them, in their order.
 */
#include "e2e.h"

#include <pthread.h>

static volatile sig_atomic_t order[8], values[8], senders[8], count;

static void on_value(int number, siginfo_t *info, void *context)
{
	if (count < 8) {
		order[count] = number;
		values[count] = info->si_value.sival_int;
		senders[count] = info->si_pid;
		count++;
	}
}

static void on_plain(int number)
{
}

static sigset_t set_of(int a, int b, int c)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, a);
	if (b)
		sigaddset(&set, b);
	if (c)
		sigaddset(&set, c);
	return set;
}

struct thread {
	pthread_t id;
	volatile pid_t tid;
	char stack[65536];
};

static int tgqueue(pid_t tid, int number, int value)
{
	siginfo_t info = { .si_signo = number, .si_code = SI_QUEUE };

	info.si_pid = getpid();
	info.si_value.sival_int = value;
	return syscall(SYS_rt_tgsigqueueinfo, getpid(), tid, number, &info);
}

static void *thread(void *arg)
{
	struct thread *t = arg;
	sigset_t mask = set_of(SIGUSR2, SIGRTMIN + 1, SIGRTMIN + 2), now, all;
	stack_t alt = { .ss_sp = t->stack, .ss_size = sizeof(t->stack) }, alt_now;
	siginfo_t info;
	struct timespec zero = { 0 };

	all = mask; /* and what waits for the process */
	sigaddset(&all, SIGUSR1);
	sigaddset(&all, SIGRTMIN + 5);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	must(!sigaltstack(&alt, NULL));
	must(!tgqueue(gettid(), SIGRTMIN + 1, 71) && !tgqueue(gettid(), SIGRTMIN + 1, 72));
	must(!tgqueue(gettid(), SIGUSR2, 73));
	t->tid = gettid();
	e2e_wait();
	pthread_sigmask(SIG_SETMASK, NULL, &now);
	must(sigismember(&now, SIGUSR2) && sigismember(&now, SIGRTMIN + 2) && !sigismember(&now, SIGHUP));
	must(!sigaltstack(NULL, &alt_now));
	must(alt_now.ss_sp == alt.ss_sp && alt_now.ss_size == alt.ss_size && alt_now.ss_flags == 0);
	must(sigtimedwait(&mask, &info, &zero) == SIGUSR2 && info.si_value.sival_int == 73);
	must(sigtimedwait(&mask, &info, &zero) == SIGRTMIN + 1);
	same(info.si_value.sival_int, 71);
	same(info.si_code, SI_QUEUE);
	same(info.si_pid, getpid());
	must(sigtimedwait(&mask, &info, &zero) == SIGRTMIN + 1 && info.si_value.sival_int == 72);
	must(sigtimedwait(&mask, &info, &zero) == -1 && errno == EAGAIN);
	return NULL;
}

static void check_actions(void)
{
	struct sigaction now;

	must(!sigaction(SIGUSR1, NULL, &now));
	must(now.sa_sigaction == on_value && (now.sa_flags & (SA_SIGINFO | SA_RESTART | SA_ONSTACK | SA_NODEFER)) ==
						     (SA_SIGINFO | SA_RESTART | SA_ONSTACK));
	must(sigismember(&now.sa_mask, SIGRTMIN + 5) && !sigismember(&now.sa_mask, SIGRTMIN + 6));
	must(!sigaction(SIGHUP, NULL, &now) && now.sa_handler == SIG_IGN);
	must(!sigaction(SIGPIPE, NULL, &now) && now.sa_handler == SIG_DFL);
	must(!sigaction(SIGURG, NULL, &now) && now.sa_handler == on_plain && (now.sa_flags & SA_NODEFER));
	must(!sigaction(SIGRTMAX, NULL, &now) && now.sa_handler == on_plain && (unsigned)now.sa_flags & SA_RESETHAND);
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_sigaction = on_value, .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
	struct sigaction plain = { .sa_handler = on_plain, .sa_flags = SA_NODEFER };
	static struct thread t;

	e2e_begin(argc, argv);
	action.sa_mask = set_of(SIGRTMIN + 5, 0, 0);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGRTMIN + 5, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGHUP, SIG_IGN);
	sigaction(SIGURG, &plain, NULL);
	plain.sa_flags = SA_RESETHAND;
	sigaction(SIGRTMAX, &plain, NULL);
	sigset_t mask = set_of(SIGUSR1, SIGRTMIN + 5, SIGTERM), now;
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGRTMIN + 1);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	must(!pthread_create(&t.id, NULL, thread, &t));
	while (!t.tid)
		e2e_sleep_ms(1);
	for (int i = 0; i < 3; i++)
		must(!sigqueue(getpid(), SIGRTMIN + 5, (union sigval){ .sival_int = 100 + i }));
	must(!kill(getpid(), SIGUSR1));
	must(!tgqueue(getpid(), SIGTERM, 55));

	e2e_wait();

	check_actions();
	sigprocmask(SIG_SETMASK, NULL, &now);
	must(sigismember(&now, SIGUSR1) && sigismember(&now, SIGTERM) && !sigismember(&now, SIGINT));
	same(count, 0);
	sigemptyset(&now);
	sigaddset(&now, SIGUSR2);
	sigaddset(&now, SIGRTMIN + 1);
	sigprocmask(SIG_SETMASK, &now, NULL);
	same(count, 5);
	int sum = 0;
	for (int i = 0; i < 5; i++) {
		same(senders[i], getpid());
		sum += order[i] == SIGRTMIN + 5 ? values[i] : 0;
		must(order[i] != SIGTERM || values[i] == 55);
	}
	same(sum, 100 + 101 + 102);
	must(!pthread_join(t.id, NULL));
	return 0;
}
