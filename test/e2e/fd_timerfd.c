/* timerfd: all clocks, relative and absolute, periodic with expirations that nobody has read, disarmed. */
#include "e2e.h"

#include <pthread.h>
#include <sys/timerfd.h>

static int blocked;
static struct timespec begun;

static long since(const struct timespec *from)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - from->tv_sec) * 1000 + (now.tv_nsec - from->tv_nsec) / 1000000;
}

static int start(int clock, int flags, long ms, long interval_ms)
{
	struct itimerspec when = { { interval_ms / 1000, interval_ms % 1000 * 1000000 },
				   { ms / 1000, ms % 1000 * 1000000 } };
	int fd = timerfd_create(clock, TFD_NONBLOCK);
	struct timespec now;

	if (flags & TFD_TIMER_ABSTIME) {
		clock_gettime(clock, &now);
		when.it_value.tv_sec += now.tv_sec;
		when.it_value.tv_nsec = now.tv_nsec;
	}
	must(fd >= 0 && !timerfd_settime(fd, flags, &when, NULL));
	return fd;
}

static long left_ms(int fd, long interval_ms)
{
	struct itimerspec now;

	must(!timerfd_gettime(fd, &now));
	same(now.it_interval.tv_sec * 1000 + now.it_interval.tv_nsec / 1000000, interval_ms);
	return now.it_value.tv_sec * 1000 + now.it_value.tv_nsec / 1000000;
}

static void check_left(int fd, long ms, long interval_ms)
{
	long left = left_ms(fd, interval_ms);

	if (left > ms || left < ms - 100000)
		fail("%ld ms are left, of %ld", left, ms);
}

static void *reader(void *arg)
{
	uint64_t n = 0;

	if (read(blocked, &n, sizeof(n)) != sizeof(n))
		fail("the blocked read returned %s", strerror(errno));
	same(n, 1);
	if (since(&begun) < 1500)
		fail("the blocked read returned after %ld of 1500 ms", since(&begun));
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread;
	uint64_t n = 0;

	e2e_begin(argc, argv);
	int relative = start(CLOCK_MONOTONIC, 0, 1000000, 7000), boot = start(CLOCK_BOOTTIME, 0, 2000000, 0);
	int absolute = start(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, 3000000, 0);
	int wall = start(CLOCK_REALTIME, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, 4000000, 0);
	int disarmed = start(CLOCK_REALTIME, 0, 0, 5000), fired = start(CLOCK_MONOTONIC, 0, 1, 0);
	int periodic = start(CLOCK_MONOTONIC, 0, 1, 1000000);
	clock_gettime(CLOCK_MONOTONIC, &begun);
	blocked = start(CLOCK_MONOTONIC, 0, 1500, 0);
	must(!fcntl(blocked, F_SETFL, 0));
	must(!pthread_create(&thread, NULL, reader, NULL));
	e2e_sleep_ms(20);

	e2e_wait();

	check_left(relative, 1000000, 7000);
	check_left(boot, 2000000, 0);
	check_left(absolute, 3000000, 0);
	check_left(wall, 4000000, 0);
	same(left_ms(disarmed, 5000), 0);
	must(read(disarmed, &n, sizeof(n)) < 0 && errno == EAGAIN);
	must(read(fired, &n, sizeof(n)) == sizeof(n) && n == 1);
	must(read(periodic, &n, sizeof(n)) == sizeof(n) && n == 1);
	check_left(periodic, 1000000, 1000000);
	must(!pthread_join(thread, NULL));
	return 0;
}
