/* Files in /proc of a process that is gone: nothing can be read from them, and its directory is one to be in. */
#include "e2e.h"

int main(int argc, char **argv)
{
	char path[64], buf[64];
	struct stat st;

	e2e_begin(argc, argv);
	pid_t pid = fork();
	if (!pid)
		for (;;)
			pause();
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	int fd = open(path, O_RDONLY);
	snprintf(path, sizeof(path), "/proc/%d", pid);
	int dir = open(path, O_RDONLY | O_DIRECTORY);
	must(fd >= 0 && dir >= 0 && !kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);

	e2e_wait();

	must(read(fd, buf, sizeof(buf)) < 0 && errno == ESRCH);
	must(openat(dir, "status", O_RDONLY) < 0);
	must(!fstat(dir, &st) && S_ISDIR(st.st_mode));
	return 0;
}
