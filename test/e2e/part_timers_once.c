/* A timer that runs out once, again and again, mostly while the tree stands: its signal never gets lost, nor doubled.
 */
#include "e2e.h"

#include <pthread.h>
#include <sys/time.h>

#define THREADS 60 /* so that a dump takes a while */

static volatile int armed, rung;

static void on_alarm(int sig)
{
	rung++;
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return NULL;
}

static void arm(void)
{
	struct itimerval soon = { .it_value.tv_usec = 3000 };

	armed++;
	must(!setitimer(ITIMER_REAL, &soon, NULL));
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_alarm };
	sigset_t alarm, old;
	pthread_t thread;

	e2e_begin(argc, argv);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	must(!sigaction(SIGALRM, &action, NULL) && !sigprocmask(SIG_BLOCK, &alarm, &old));
	for (int i = 0; i < THREADS; i++)
		must(!pthread_create(&thread, NULL, idle, NULL));
	sigprocmask(SIG_SETMASK, &old, NULL);
	e2e_ready();
	while (!e2e_time_to_check()) {
		arm();
		for (int ms = 0; ms < 3000 && rung < armed; ms++)
			e2e_sleep_ms(1);
		same(rung, armed);
	}
	e2e_sleep_ms(20);
	same(rung, armed);
	return 0;
}
