/* Processes and small files, through /proc. */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

void sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

char *read_text(const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	size_t len = 0, size = 16384;

	va_start(args, fmt);
	vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	char *text = malloc(size);
	ssize_t n;
	while ((n = read(fd, text + len, size - len - 1)) > 0) {
		len += n;
		if (size - len < 4096)
			text = realloc(text, size *= 2);
	}
	close(fd);
	text[len] = 0;
	return text;
}

char process_state(pid_t pid)
{
	char *stat = read_text("/proc/%d/stat", pid);
	char *end = stat ? strrchr(stat, ')') : NULL;
	char state = end && end[1] ? end[2] : 0;

	free(stat);
	return state;
}

bool process_exists(pid_t pid)
{
	return kill(pid, 0) == 0 || errno == EPERM;
}

/* Any thread can have children, so all are asked. */
size_t children_of(pid_t pid, pid_t **pids)
{
	char path[64];
	size_t n = 0;

	*pids = NULL;
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *dir = opendir(path);
	if (!dir)
		return 0;
	struct dirent *d;
	while ((d = readdir(dir))) {
		char *text = d->d_name[0] == '.' ? NULL : read_text("%s/%s/children", path, d->d_name);
		char *at = text, *end;

		for (long child; text && (child = strtol(at, &end, 10)) && end != at; at = end) {
			*pids = realloc(*pids, (n + 1) * sizeof(**pids));
			(*pids)[n++] = child;
		}
		free(text);
	}
	closedir(dir);
	return n;
}

size_t tree_of(pid_t root, pid_t **pids)
{
	size_t n = 1;

	*pids = malloc(sizeof(**pids));
	(*pids)[0] = root;
	for (size_t i = 0; i < n; i++) {
		pid_t *children;
		size_t more = children_of((*pids)[i], &children);

		*pids = realloc(*pids, (n + more) * sizeof(**pids));
		if (more)
			memcpy(*pids + n, children, more * sizeof(**pids));
		n += more;
		free(children);
	}
	return n;
}

void reap(struct run *r)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
		if (pid == r->root) {
			r->root_ended = true;
			r->root_status = status;
		}
	}
}

/* Repeats until a pass finds none: a tree can grow while it is killed, and orphans come up from below. */
void kill_descendants(pid_t except)
{
	for (int pass = 0; pass < 2000; pass++) {
		pid_t *pids;
		size_t n = tree_of(getpid(), &pids), alive = 0;

		for (size_t i = 1; i < n; i++) {
			if (pids[i] == except)
				continue;
			alive++;
			kill(pids[i], SIGKILL);
		}
		free(pids);
		while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
			;
		if (!alive)
			return;
		sleep_ms(pass < 20 ? 1 : 10);
	}
}

void make_dirs(const char *path)
{
	char part[PATH_MAX];

	snprintf(part, sizeof(part), "%s", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = 0;
		mkdir(part, 0755);
		*slash = '/';
	}
	mkdir(part, 0755);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)ftw;
	return type == FTW_DP ? rmdir(path) : unlink(path);
}

void remove_tree(const char *path)
{
	nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS);
}
