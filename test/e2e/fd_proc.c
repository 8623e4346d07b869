/*
 * Files of /proc/PID: of the task itself, with a position, of its parent and of its child, of a descriptor, and
 * directories of them.
 */
#include "e2e.h"

static int maps, status_of_child, dir;

static void expect_pid(int fd, pid_t pid, const char *what)
{
	char text[4096] = "", line[32];

	must(pread(fd, text, sizeof(text) - 1, 0) > 0);
	snprintf(line, sizeof(line), "\nPid:\t%d\n", pid);
	if (!strstr(text, line))
		fail("%s is not that of process %d", what, pid);
}

static void child(void *arg)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/status", getppid());
	int parent = open(path, O_RDONLY), self = open("/proc/self/status", O_RDONLY);
	must(parent >= 0 && self >= 0);
	e2e_child_ready();
	e2e_wait();
	expect_pid(parent, getppid(), "the status of the parent");
	expect_pid(self, getpid(), "the status of the child");
	_exit(0);
}

int main(int argc, char **argv)
{
	char path[32], before[64] = "", after[64] = "";

	e2e_begin(argc, argv);
	maps = open("/proc/self/maps", O_RDONLY);
	dir = open("/proc/self", O_RDONLY | O_DIRECTORY);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", maps);
	int info = open(path, O_RDONLY);
	must(info >= 0 && read(info, before, 20) == 20 && maps >= 0 && dir >= 0 && read(maps, before, 40) == 40);
	pid_t pid = e2e_fork(child, NULL);
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	status_of_child = open(path, O_RDONLY);
	must(status_of_child >= 0);

	e2e_wait();

	same(lseek(maps, 0, SEEK_CUR), 40);
	must(pread(maps, after, 40, 0) == 40 && !strcmp(before, after));
	same(lseek(info, 0, SEEK_CUR), 20);
	must(pread(info, after, 40, 0) > 7 && !strncmp(after, "pos:\t40\n", 8));
	expect_pid(status_of_child, pid, "the status of the child");
	int self = openat(dir, "status", O_RDONLY);
	must(self >= 0);
	expect_pid(self, getpid(), "status below the directory");
	e2e_join(pid);
	return 0;
}
