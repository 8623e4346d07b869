/* A process whose main thread has ended while another one goes on. */
#include "e2e.h"

#include <pthread.h>

static void *thread(void *arg)
{
	char *stat = malloc(4096);

	/* Not e2e_wait: the one that says ready is the main thread, and that is gone. */
	for (;;) {
		int fd = open("/proc/self/stat", O_RDONLY);
		ssize_t n = read(fd, stat, 4095);
		must(n > 0);
		stat[n] = 0;
		close(fd);
		if (strrchr(stat, ')')[2] == 'Z')
			break;
		e2e_sleep_ms(1);
	}
	e2e_expect("%d main thread", getpid());
	e2e_touch("ready");
	while (!e2e_time_to_check())
		e2e_sleep_ms(3);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t other;

	e2e_begin(argc, argv);
	must(!pthread_create(&other, NULL, thread, NULL));
	pthread_exit(NULL);
}
