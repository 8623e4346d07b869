/*
 * The bench: how long a dump, the frozen time in it, and a restore take, and how CRIU compares on the same machine.
 *
 *   bench --ckpt PATH [--criu PATH] [--rounds N] [--images DIR] [--floor] [ROW...]
 *
 * The tools take turns (A B A B ...), the first round is discarded, medians are told and their ratio. All runs in
 * a PID and a mount namespace of its own with a tmpfs on /run (CRIU keeps what it learned of the kernel there) and,
 * unless a directory is given, a tmpfs for the images. Memory that lay free for some seconds may have gone back to
 * the host of a virtual machine, and its next first touch is slow: so as much as needed is touched before each
 * measurement.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "image.h"
#include "stats.pb-c.h"

static const char *const value_names[VALUES] = { "dump", "frozen", "restore" };

#define GROWS(what, n) .growth = IN_##what, .size = (n)

static const struct row rows[] = {
	{ "one page", { "page" }, 64 },
	{ "64 MiB", { "memory", "64" }, 200, GROWS(MEMORY, 0.0625) },
	{ "256 MiB", { "memory", "256" }, 600, GROWS(MEMORY, 0.25) },
	{ "1 GiB", { "memory", "1024" }, 2300, GROWS(MEMORY, 1) },
	{ "8 GiB", { "memory", "8192" }, 8600, GROWS(MEMORY, 8) },
	{ "1 GiB, huge pages", { "huge", "1024" }, 2300, .huge = true },
	{ "4 GiB, writing", { "writer", "4096" }, 8400 },
	{ "4 GiB, writing, -R", { "writer", "4096" }, 8400, .stays = true },
	{ "10 threads", { "threads", "10" }, 64, GROWS(THREADS, 10) },
	{ "100 threads", { "threads", "100" }, 64, GROWS(THREADS, 100) },
	{ "1000 threads", { "threads", "1000" }, 128, GROWS(THREADS, 1000) },
	{ "10 processes", { "processes", "10" }, 64, GROWS(PROCESSES, 10) },
	{ "200 processes", { "processes", "200" }, 256, GROWS(PROCESSES, 200) },
	{ "1000 processes", { "processes", "1000" }, 1024, GROWS(PROCESSES, 1000) },
	{ "10000 descriptors", { "descriptors", "10000" }, 128 },
	{ "60000 areas", { "areas", "60000" }, 600 },
	{ "100000 areas", { "areas", "100000" }, 900 },
	{ "1 TiB reserved", { "reserved", "1024" }, 128 },
};

struct bench bench = { .rounds = 5 };

/* How many areas a process may have; the bench needs more than is usual. */
#define MAX_MAP_COUNT "/proc/sys/vm/max_map_count"
#define AREAS 150000

static double frozen_ms(void)
{
	ProtobufCMessage *message;
	struct image_dir dir;

	if (image_dir_open(&dir, bench.images) || image_read_one(&dir, IMG_STATS_DUMP, 0, &message))
		die("can't read stats-dump in", bench.images);
	const StatsEntry *stats = (const StatsEntry *)message;
	double ms = stats->dump ? stats->dump->frozen_time / 1e3 : 0;
	protobuf_c_message_free_unpacked(message, NULL);
	image_dir_close(&dir);
	return ms;
}

/* A dump that leaves the target running. */
static double measure_pause(const struct tool *tool, pid_t root, double *dump)
{
	uint64_t *pause = map_counter("/run/pause"); /* the writer measures it */

	*pause = 0;
	*dump = run_dump(tool, root, (const char *[]){ "-R", NULL });
	usleep(50000); /* what comes after the dump counts, too */
	double ms = *pause / 1e6;
	munmap(pause, 4096);
	return ms;
}

static void measure(struct tool *tool, const struct row *row, int round)
{
	pid_t root = start_target(row);
	double dump, frozen, restore = 0;

	warm_memory(row->mib, row->huge);
	if (row->stays) {
		frozen = measure_pause(tool, root, &dump);
	} else {
		dump = run_dump(tool, root, (const char *[]){ NULL });
		reap_all();
		frozen = frozen_ms();
		warm_memory(row->mib, row->huge);
		restore = run_restore(tool);
	}
	if (kill(root, 0))
		die("no restored process of", row->name);
	/* All of the tree is below us now, and in no session of ours. */
	clean_up();
	if (round < 0)
		return;
	tool->ms[DUMP][round] = dump;
	tool->ms[FROZEN][round] = frozen;
	tool->ms[RESTORE][round] = restore;
}

static void print_machine(void)
{
	struct utsname u;
	char line[256], model[200] = "unknown", thp[64] = "";
	FILE *f = fopen("/proc/cpuinfo", "re");

	uname(&u);
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "model name : %199[^\n]", model) == 1)
			break;
	if (f)
		fclose(f);
	f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	if (f && fgets(line, sizeof(line), f) && strchr(line, '['))
		sscanf(strchr(line, '['), "[%63[^]]", thp);
	if (f)
		fclose(f);
	printf("machine: Linux %s, %ld x %s, %.1f GiB, transparent huge pages: %s, images on %s\n", u.release,
	       sysconf(_SC_NPROCESSORS_ONLN), model,
	       (double)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / (1 << 30), thp,
	       bench.on_disk ? "disk" : "tmpfs");
	printf("milliseconds, medians of %d rounds; the ratio is ckpt / criu; with -R, frozen is the longest pause "
	       "that the "
	       "target saw\n\n",
	       bench.rounds);
}

static void print_head(void)
{
	printf("%-20s", "");
	for (int v = 0; v < VALUES; v++)
		printf("%10s%s", value_names[v], bench.n_tools > 1 ? "      criu   ratio" : "");
	printf("\n");
	fflush(stdout);
}

static void print_values(const char *name, const double *ours, const double *peers, int n)
{
	printf("%-20s", name);
	for (int v = 0; v < n; v++) {
		printf("%10.2f", ours[v]);
		if (bench.n_tools > 1)
			printf("%10.2f%8.2f", peers[v], ours[v] / peers[v]);
	}
	printf("\n");
	fflush(stdout);
}

/* What was measured of rows that differ in size, for the line through them. */
static struct points {
	const char *unit;
	double size[8], ms[2][VALUES][8];
	int n;
} points[GROWTHS] = { [IN_MEMORY] = { "each GiB more" },
		      [IN_PROCESSES] = { "each process more" },
		      [IN_THREADS] = { "each thread more" } };

/* The floor (floor.c) takes turns with the tools. */
static void measure_floor(const struct row *row, int round, double ms[VALUES][MAX_ROUNDS])
{
	double frozen;
	pid_t root = start_target(row);

	warm_memory(row->mib, row->huge);
	double dump = floor_dump(root, &frozen);
	clean_up();
	if (round < 0)
		return;
	ms[DUMP][round] = dump;
	ms[FROZEN][round] = frozen;
}

static void run_row(const struct row *row)
{
	static double floor_ms[VALUES][MAX_ROUNDS];
	bool with_floor = bench.with_floor && !row->stays;
	struct points *p = &points[row->growth];
	double medians[2][VALUES];

	for (int round = -1; round < bench.rounds; round++) {
		for (int t = 0; t < bench.n_tools; t++)
			measure(&bench.tools[t], row, round);
		if (with_floor)
			measure_floor(row, round, floor_ms);
	}
	for (int t = 0; t < bench.n_tools; t++)
		for (int v = 0; v < VALUES; v++) {
			medians[t][v] = median(bench.tools[t].ms[v], bench.rounds);
			p->ms[t][v][p->n] = medians[t][v];
		}
	if (row->growth)
		p->size[p->n++] = row->size;
	print_values(row->name, medians[0], medians[1], VALUES - row->stays);
	if (!with_floor)
		return;
	for (int v = 0; v < RESTORE; v++)
		medians[0][v] = median(floor_ms[v], bench.rounds);
	print_values("  its floor", medians[0], medians[1], RESTORE);
}

/* The slope of the line with the least squares. */
static double slope(const double *x, const double *y, int n)
{
	double sx = 0, sy = 0, sxx = 0, sxy = 0;

	for (int i = 0; i < n; i++)
		sx += x[i], sy += y[i], sxx += x[i] * x[i], sxy += x[i] * y[i];
	return (n * sxy - sx * sy) / (n * sxx - sx * sx);
}

static void print_slopes(void)
{
	for (const struct points *p = points; p < points + GROWTHS; p++) {
		double slopes[2][VALUES];

		for (int t = 0; t < bench.n_tools; t++)
			for (int v = 0; v < VALUES; v++)
				slopes[t][v] = slope(p->size, p->ms[t][v], p->n);
		if (p->n > 1)
			print_values(p->unit, slopes[0], slopes[1], VALUES);
	}
}

static bool is_wanted(const char *row, char **wanted)
{
	if (!*wanted)
		return true;
	for (; *wanted; wanted++)
		if (strstr(row, *wanted))
			return true;
	return false;
}

static const struct {
	const char *name, *mib;
	void (*run)(const char *name, const char *mib);
} specials[] = {
	{ "4 GiB, chain", "4096", run_chain },
	{ "4 GiB, lazy", "4096", run_lazy },
	{ "4 GiB, peak memory", "4096", run_peak },
};

/* PID 1 of the namespace. */
static int run_inside(char **wanted)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("proc", "/proc", "proc", 0, NULL) ||
	    mount("run", "/run", "tmpfs", 0, "mode=755"))
		die("mount of", "/proc and /run");
	if (!bench.on_disk && mount("images", bench.images, "tmpfs", 0, "mode=700"))
		die("mount of a tmpfs on", bench.images);
	print_machine();
	print_head();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (is_wanted(rows[i].name, wanted))
			run_row(&rows[i]);
	print_slopes();
	for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++)
		if (is_wanted(specials[i].name, wanted))
			specials[i].run(specials[i].name, specials[i].mib);
	return 0;
}

static void set_path(char *to, const char *path)
{
	if (!realpath(path, to))
		die("no", path);
}

static void add_tool(const char *name, const char *path)
{
	struct tool *tool = &bench.tools[bench.n_tools++];

	tool->name = name;
	set_path(tool->path, path);
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "ckpt", 1, 0, 'k' },
		{ "criu", 1, 0, 'c' },
		{ "rounds", 1, 0, 'r' },
		{ "images", 1, 0, 'i' },
		{ "target", 1, 0, 't' },
		{ "floor", 0, 0, 'f' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'k' || (c == 'c' && bench.n_tools == 1))
			add_tool(c == 'k' ? "ckpt" : "criu", optarg);
		else if (c == 'r')
			bench.rounds = atoi(optarg);
		else if (c == 't')
			set_path(bench.target, optarg);
		else if (c == 'i')
			set_path(bench.images, optarg), bench.on_disk = true;
		else if (c == 'f')
			bench.with_floor = true;
		else
			exit(2);
	}
	if (!bench.n_tools || !*bench.target || bench.rounds < 1 || bench.rounds > MAX_ROUNDS) {
		fprintf(stderr, "usage: bench --ckpt PATH --target PATH [--criu PATH] [--rounds N] [--images DIR] "
				"[--floor] [ROW...]\n");
		exit(2);
	}
}

static pid_t inside;

/* With PID 1 of the namespace, all goes. */
static void stop_inside(int number)
{
	kill(inside, SIGKILL);
}

/* Returns the old value, or 0 when nothing was changed. */
static int raise_areas(void)
{
	FILE *f = fopen(MAX_MAP_COUNT, "r+e");
	int old = 0;

	if (f && (fscanf(f, "%d", &old) != 1 || old >= AREAS || fseek(f, 0, SEEK_SET) || fprintf(f, "%d", AREAS) < 0))
		old = 0;
	if (f && fclose(f))
		old = 0;
	return old;
}

static void restore_areas(int old)
{
	FILE *f = old ? fopen(MAX_MAP_COUNT, "we") : NULL;

	if (!f)
		return;
	fprintf(f, "%d", old);
	fclose(f);
}

int main(int argc, char **argv)
{
	char template[] = "/tmp/ckpt-bench-XXXXXX";
	int status;

	parse_options(argc, argv);
	if (!bench.on_disk)
		snprintf(bench.images, sizeof(bench.images), "%s", mkdtemp(template) ? template : "");
	if (unshare(CLONE_NEWPID | CLONE_NEWNS))
		die("new namespaces", "(needs root)");
	int areas = raise_areas();
	inside = fork();
	if (inside == 0)
		exit(run_inside(argv + optind));
	signal(SIGINT, stop_inside);
	signal(SIGTERM, stop_inside);
	while (waitpid(inside, &status, 0) < 0 && errno == EINTR)
		;
	restore_areas(areas);
	if (!bench.on_disk) {
		umount2(bench.images, MNT_DETACH);
		rmdir(bench.images);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
