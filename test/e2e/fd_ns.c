/* Descriptors of the own namespaces, shared with a child. */
#include "e2e.h"

#include <sched.h>

static const char *const names[] = { "pid", "net", "ipc", "uts", "mnt", "user", "cgroup", "time" };
static int fds[8];

static void check(int fd, const char *name)
{
	struct stat st, own;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	must(!fstat(fd, &st) && !stat(path, &own));
	same(st.st_ino, own.st_ino);
	same(st.st_dev, own.st_dev);
}

static void child(void *arg)
{
	e2e_child_ready();
	e2e_wait();
	check(fds[1], "net");
	_exit(0);
}

int main(int argc, char **argv)
{
	char path[64];

	e2e_begin(argc, argv);
	for (size_t i = 0; i < 8; i++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		fds[i] = open(path, O_RDONLY);
	}
	pid_t pid = e2e_fork(child, NULL);

	e2e_wait();

	for (size_t i = 0; i < 8; i++)
		if (fds[i] >= 0)
			check(fds[i], names[i]);
	e2e_join(pid);
	return 0;
}
