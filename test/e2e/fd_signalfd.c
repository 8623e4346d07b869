/* signalfd: its mask, a signal that waits to be read, a reader that is blocked. */
#include "e2e.h"

#include <pthread.h>
#include <sys/signalfd.h>

static int blocked;

static void *reader(void *arg)
{
	struct signalfd_siginfo info;

	if (read(blocked, &info, sizeof(info)) != sizeof(info))
		fail("the blocked read returned %s", strerror(errno));
	same(info.ssi_signo, SIGUSR2);
	return NULL;
}

int main(int argc, char **argv)
{
	struct signalfd_siginfo info;
	pthread_t thread;
	sigset_t mask, other;

	e2e_begin(argc, argv);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGRTMIN + 3);
	sigemptyset(&other);
	sigaddset(&other, SIGUSR2);
	must(!sigprocmask(SIG_BLOCK, &mask, NULL) && !sigprocmask(SIG_BLOCK, &other, NULL));
	int fd = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	blocked = signalfd(-1, &other, 0);
	must(fd >= 0 && blocked >= 0);
	must(!sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = 77 }));
	must(!pthread_create(&thread, NULL, reader, NULL));

	e2e_sleep_ms(20); /* for the thread to be inside its call */

	e2e_wait();

	same(read(fd, &info, sizeof(info)), sizeof(info));
	same(info.ssi_signo, SIGRTMIN + 3);
	same(info.ssi_int, 77);
	must(read(fd, &info, sizeof(info)) < 0 && errno == EAGAIN);
	kill(getpid(), SIGUSR1);
	same(read(fd, &info, sizeof(info)), sizeof(info));
	same(info.ssi_signo, SIGUSR1);
	kill(getpid(), SIGUSR2);
	must(!pthread_join(thread, NULL));
	return 0;
}
