/* Starts and ends what the bench measures. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define MAX_ARGS 16

void die(const char *what, const char *on)
{
	fprintf(stderr, "bench: %s %s: %s\n", what, on, strerror(errno));
	exit(1);
}

double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

double median(double *values, int n)
{
	qsort(values, n, sizeof(*values), compare_doubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

void reap_all(void)
{
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type;
	return ftw->level ? remove(path) : 0;
}

void clean_up(void)
{
	kill(-1, SIGKILL);
	reap_all();
	nftw(bench.images, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void warm_memory(size_t mib, bool huge)
{
	size_t len = mib << 20;
	pid_t pid = fork();

	if (pid == 0) {
		char *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (huge)
			madvise(at, len, MADV_HUGEPAGE);
		for (size_t i = 0; at != MAP_FAILED && i < len; i += 4096)
			at[i] = 1;
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

pid_t start_target(const struct row *row)
{
	int p[2];
	char c;

	if (pipe2(p, O_CLOEXEC))
		die("pipe for", row->name);
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		setsid();
		dup2(p[1], 3);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		closefrom(4);
		execl(bench.target, "target", row->args[0], row->args[1], NULL);
		_exit(1);
	}
	close(p[1]);
	if (read(p[0], &c, 1) != 1)
		die("no target for", row->name);
	close(p[0]);
	return pid;
}

pid_t start_tool(const struct tool *tool, const char *action, const char *const *args)
{
	char log[32];
	const char *argv[MAX_ARGS] = { tool->path, action, "-D", bench.images, "-o", log, "-v0" };

	snprintf(log, sizeof(log), "%s.log", action);
	for (int i = 7; i < MAX_ARGS - 1 && *args; i++)
		argv[i] = *args++;
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		for (int fd = 0; fd < 2; fd++)
			dup2(null, fd);
		execv(tool->path, (char **)argv);
		_exit(127);
	}
	return pid;
}

void wait_for_tool(const struct tool *tool, const char *action, pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && !WEXITSTATUS(status))
		return;
	fprintf(stderr, "bench: %s %s failed\n", tool->name, action);
	exit(1);
}

double run_tool(const struct tool *tool, const char *action, const char *const *args)
{
	double start = now_ms();
	pid_t pid = start_tool(tool, action, args);

	wait_for_tool(tool, action, pid);
	return now_ms() - start;
}

double run_dump(const struct tool *tool, pid_t root, const char *const *more)
{
	char text[16];
	const char *args[8] = { "-t", text };

	snprintf(text, sizeof(text), "%d", root);
	for (int i = 2; i < 7 && *more; i++)
		args[i] = *more++;
	return run_tool(tool, "dump", args);
}

double run_restore(const struct tool *tool)
{
	return run_tool(tool, "restore", (const char *[]){ "-d", NULL });
}

uint64_t *map_counter(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint64_t *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		die("can't map", path);
	close(fd);
	return at;
}
