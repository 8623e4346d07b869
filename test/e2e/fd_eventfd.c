/* eventfd: counter, semaphore, flags, shared with a child, a reader that is blocked. */
#include "e2e.h"

#include <pthread.h>
#include <sys/eventfd.h>

static int shared, blocked;

static void *reader(void *arg)
{
	eventfd_t value = 0;

	if (eventfd_read(blocked, &value))
		fail("the blocked read returned %s", strerror(errno));
	same(value, 5);
	return NULL;
}

static void child(void *arg)
{
	eventfd_t value = 0;

	e2e_child_ready();
	e2e_wait();
	must(!eventfd_read(shared, &value));
	same(value, 41);
	must(!eventfd_write(shared, 2));
	_exit(0);
}

/* Before Linux 6.6 nobody can see that an eventfd is a semaphore. */
static bool semaphores_are_told(int fd)
{
	char path[64], text[512] = "";

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	int info = open(path, O_RDONLY);
	must(read(info, text, sizeof(text) - 1) > 0);
	close(info);
	return strstr(text, "eventfd-semaphore");
}

int main(int argc, char **argv)
{
	eventfd_t value = 0;
	pthread_t thread;

	e2e_begin(argc, argv);
	int semaphore = eventfd(3, EFD_SEMAPHORE | EFD_CLOEXEC), full = eventfd(0, EFD_NONBLOCK);
	shared = eventfd(41, 0);
	blocked = eventfd(0, 0);
	must(semaphore >= 0 && full >= 0 && shared >= 0 && blocked >= 0);
	must(!eventfd_write(full, 0xfffffffffffffffeull));
	must(!pthread_create(&thread, NULL, reader, NULL));
	pid_t pid = e2e_fork(child, NULL);
	e2e_sleep_ms(20); /* for the thread to be inside its call */

	e2e_wait();

	e2e_join(pid);
	must(!eventfd_read(shared, &value));
	same(value, 2);
	must(eventfd_write(full, 1) && errno == EAGAIN);
	must(!eventfd_read(full, &value));
	must(value == 0xfffffffffffffffeull);
	must(eventfd_read(full, &value) && errno == EAGAIN);
	must(!eventfd_read(semaphore, &value));
	same(value, semaphores_are_told(semaphore) ? 1 : 3);
	same(fcntl(semaphore, F_GETFD), FD_CLOEXEC);
	must(!eventfd_write(blocked, 5));
	must(!pthread_join(thread, NULL));
	return 0;
}
