/*
 * File locks of all kinds among so many descriptors that ckpt may look for them elsewhere than in fdinfo; one of a
 * descriptor that a child has inherited under another number, too.
 */
#include "e2e.h"

#include <sys/file.h>

#define MANY 400

static int fds[MANY];

static struct flock range(int type, off_t start, off_t len)
{
	return (struct flock){ .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
}

static const char *name_of(int i)
{
	static char name[16];

	snprintf(name, sizeof(name), "many-%d", i);
	return e2e_path(name);
}

static void hold(void *arg)
{
	must(dup2(fds[200], fds[300]) == fds[300]);
	close(fds[200]);
	e2e_child_ready();
	e2e_wait();
	while (access(e2e_path("looked"), F_OK))
		e2e_sleep_ms(2);
	_exit(0);
}

static int type_of(int i)
{
	struct flock l = range(F_WRLCK, 0, 0);
	int fd = open(name_of(i), O_RDWR);

	must(fd >= 0 && !fcntl(fd, F_OFD_GETLK, &l));
	close(fd);
	return l.l_type;
}

static bool is_flocked(int i)
{
	int fd = open(name_of(i), O_RDONLY);
	bool locked = flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;

	close(fd);
	return locked;
}

int main(int argc, char **argv)
{
	struct flock l = range(F_WRLCK, 0, 10);

	e2e_begin(argc, argv);
	for (int i = 0; i < MANY; i++) {
		fds[i] = open(name_of(i), (i == 390 ? O_RDONLY : O_RDWR) | O_CREAT | (i % 2 ? O_CLOEXEC : 0), 0600);
		must(fds[i] >= 0 && (i == 390 || pwrite(fds[i], "0123456789", 10, 0) == 10));
		must(lseek(fds[i], i, SEEK_SET) == i);
	}
	must(!flock(fds[100], LOCK_EX) && !flock(fds[200], LOCK_EX));
	must(!fcntl(fds[50], F_SETLK, &l) && !fcntl(fds[350], F_OFD_SETLK, &l));
	must(!fcntl(fds[390], F_SETLEASE, F_RDLCK));
	pid_t pid = e2e_fork(hold, NULL);

	e2e_wait();

	for (int i = 0; i < MANY; i++) {
		if (i != 390)
			same(type_of(i), i == 50 || i == 350 ? F_WRLCK : F_UNLCK);
		same(is_flocked(i), i == 100 || i == 200);
		same(lseek(fds[i], 0, SEEK_CUR), i);
		same(fcntl(fds[i], F_GETFD), i % 2 ? FD_CLOEXEC : 0);
	}
	same(fcntl(fds[390], F_GETLEASE), F_RDLCK);
	must(!flock(fds[200], LOCK_UN) && !flock(fds[100], LOCK_UN));
	same(is_flocked(200) || is_flocked(100), false);
	e2e_touch("looked");
	e2e_join(pid);
	return 0;
}
