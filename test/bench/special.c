/* Rows of the bench that are no simple dump and restore. */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

#define NO_ARGS ((const char *[]){ NULL })

/* Dumps in a chain, of a target that changes 1% of its memory in between; CRIU needs soft-dirty bits for that. */
void run_chain(const char *name, const char *mib)
{
	const struct row row = { name, { "changer", mib }, 2 * atoi(mib) + 200 };
	const struct tool *tool = &bench.tools[0];
	double full = 0, tenth = 0;
	char base[PATH_MAX], previous[64] = "--track-mem";
	pid_t root = start_target(&row);

	warm_memory(row.mib, false);
	snprintf(base, sizeof(base), "%s", bench.images);
	for (int i = 0; i <= 10; i++) {
		snprintf(bench.images, sizeof(bench.images), "%.*s/%d", PATH_MAX - 16, base, i);
		mkdir(bench.images, 0700);
		if (i == 10)
			warm_memory(row.mib / 8, false);
		double ms = run_dump(tool, root, (const char *[]){ "-R", "--track-mem", previous, NULL });
		full = i ? full : ms;
		tenth = ms;
		snprintf(previous, sizeof(previous), "--prev-images-dir=../%d", i);
		close(open("/run/changing", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
		kill(root, SIGUSR1);
		while (!access("/run/changing", F_OK))
			usleep(1000);
	}
	snprintf(bench.images, sizeof(bench.images), "%s", base);
	clean_up();
	printf("%-20s%10.2f  the first dump with --track-mem; the 10th after it, with 1%% changed: %.2f, ratio %.2f\n",
	       name, full, tenth, tenth / full);
	fflush(stdout);
}

static bool has_ended(pid_t pid)
{
	siginfo_t end = {};

	return waitid(P_PID, pid, &end, WEXITED | WNOHANG | WNOWAIT) || end.si_pid;
}

struct lazy {
	double eager, runs, all; /* ms: a whole restore; until the first instruction, until the daemon has ended */
};

/* One restore with all memory at once, one with a daemon that brings it. */
static struct lazy measure_lazy(const struct tool *tool, const struct row *row)
{
	pid_t root = start_target(row);
	char socket[PATH_MAX + 32];
	struct lazy lazy;

	warm_memory(row->mib, false);
	run_dump(tool, root, NO_ARGS);
	reap_all();
	warm_memory(row->mib, false);
	lazy.eager = run_restore(tool);
	kill(root, SIGKILL);
	reap_all();
	warm_memory(row->mib, false);

	volatile uint64_t *ticks = map_counter("/run/ticks");
	snprintf(socket, sizeof(socket), "%s/lazy-pages.socket", bench.images);
	pid_t daemon = start_tool(tool, "lazy-pages", NO_ARGS);
	while (access(socket, F_OK))
		usleep(1000);
	*ticks = 0;
	double start = now_ms();
	pid_t restore = start_tool(tool, "restore", (const char *[]){ "-d", "--lazy-pages", NULL });
	while (!*ticks && !has_ended(daemon))
		usleep(100);
	lazy.runs = now_ms() - start;
	wait_for_tool(tool, "lazy-pages", daemon);
	lazy.all = now_ms() - start;
	wait_for_tool(tool, "restore", restore);
	munmap((void *)ticks, 4096);
	clean_up();
	return lazy;
}

void run_lazy(const char *name, const char *mib)
{
	const struct row row = { name, { "reader", mib }, atoi(mib) + 200 };
	const struct tool *tool = &bench.tools[0]; /* CRIU's daemon takes minutes for a reader of 4 GiB */
	double runs[MAX_ROUNDS], eager[MAX_ROUNDS], all[MAX_ROUNDS];

	for (int round = -1; round < bench.rounds; round++) {
		struct lazy lazy = measure_lazy(tool, &row);
		int i = round < 0 ? 0 : round;

		runs[i] = lazy.runs, eager[i] = lazy.eager, all[i] = lazy.all;
	}
	double whole = median(eager, bench.rounds), end = median(all, bench.rounds);
	printf("%-20s%10.2f  until it runs; all memory there after %.2f, ratio to its eager restore %.2f\n", name,
	       median(runs, bench.rounds), end, end / whole);
	fflush(stdout);
}

/* KiB of memory of a process, its part of what it shares. */
static long proportional_kib(const char *pid)
{
	char path[300], line[256];
	long kib = 0;

	snprintf(path, sizeof(path), "/proc/%s/smaps_rollup", pid);
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Pss: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

/* All processes but us and the dumped or restored one are the tool's. */
static long tool_kib(pid_t target)
{
	struct dirent *e;
	DIR *proc = opendir("/proc");
	long kib = 0;

	if (!proc)
		die("can't open", "/proc");
	while ((e = readdir(proc)))
		if (isdigit(e->d_name[0]) && atoi(e->d_name) != 1 && atoi(e->d_name) != target)
			kib += proportional_kib(e->d_name);
	closedir(proc);
	return kib;
}

/* The most that the tool had at any time, in MiB. */
static double peak_mib(const struct tool *tool, const char *action, const char *const *args, pid_t target)
{
	pid_t pid = start_tool(tool, action, args);
	long peak = 0;

	while (!has_ended(pid)) {
		long kib = tool_kib(target);

		peak = kib > peak ? kib : peak;
		usleep(500);
	}
	wait_for_tool(tool, action, pid);
	return peak / 1024.0;
}

void run_peak(const char *name, const char *mib)
{
	const struct row row = { name, { "memory", mib }, atoi(mib) + 200 };

	for (int t = 0; t < bench.n_tools; t++) {
		const struct tool *tool = &bench.tools[t];
		pid_t root = start_target(&row);
		char text[16];

		snprintf(text, sizeof(text), "%d", root);
		warm_memory(row.mib, false);
		double dump = peak_mib(tool, "dump", (const char *[]){ "-t", text, NULL }, root);
		reap_all();
		double restore = peak_mib(tool, "restore", (const char *[]){ "-d", NULL }, root);
		printf("%-20s%10.2f  MiB that %s has at most when it dumps, %.2f when it restores\n", name, dump,
		       tool->name, restore);
		fflush(stdout);
		clean_up();
	}
}
