/* Leases that somebody wants back: their holder was told once, and is not told again; it still has time. */
#include "e2e.h"

static volatile int told;

static void on_sigio(int sig)
{
	told++;
}

static int make(const char *name, int flags, int type, int breaker)
{
	int fd = open(e2e_path(name), flags | O_CREAT, 0600);

	must(fd >= 0 && !fcntl(fd, F_SETLEASE, type));
	must(open(e2e_path(name), breaker | O_NONBLOCK) < 0 && errno == EWOULDBLOCK);
	return fd;
}

int main(int argc, char **argv)
{
	e2e_begin(argc, argv);
	signal(SIGIO, on_sigio);
	int read = make("read", O_RDONLY, F_RDLCK, O_WRONLY);
	int lower = make("lower", O_RDWR, F_WRLCK, O_RDONLY), give = make("give", O_RDWR, F_WRLCK, O_WRONLY);
	same(told, 3);

	e2e_wait();

	same(told, 3);
	same(fcntl(read, F_GETLEASE), F_UNLCK);
	same(fcntl(lower, F_GETLEASE), F_RDLCK);
	same(fcntl(give, F_GETLEASE), F_UNLCK);
	must(open(e2e_path("lower"), O_RDONLY | O_NONBLOCK) < 0 && errno == EWOULDBLOCK);
	must(!fcntl(give, F_SETLEASE, F_UNLCK) && !fcntl(lower, F_SETLEASE, F_UNLCK));
	must(open(e2e_path("give"), O_WRONLY | O_NONBLOCK) >= 0 && open(e2e_path("lower"), O_RDONLY | O_NONBLOCK) >= 0);
	return 0;
}
