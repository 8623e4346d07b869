/*
 * The bench: how long a dump, the frozen time in it, and a restore take, and how CRIU compares on the same machine.
 *
 *   bench --ckpt PATH [--criu PATH] [--rounds N] [--images DIR] [ROW...]
 *
 * The tools take turns (A B A B ...), the first round is discarded, medians are told and their ratio. All runs in
 * a PID and a mount namespace of its own with a tmpfs on /run (CRIU keeps what it learned of the kernel there) and,
 * unless a directory is given, a tmpfs for the images. Memory that lay free for some seconds may have gone back to
 * the host of a virtual machine, and its next first touch is slow: so as much as needed is touched before each
 * measurement.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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
#include <time.h>
#include <unistd.h>

#include "image.h"
#include "stats.pb-c.h"

#define MAX_ROUNDS 100

enum value { DUMP, FROZEN, RESTORE, VALUES };

static const char *const value_names[VALUES] = { "dump", "frozen", "restore" };

struct tool {
	const char *name;
	char path[PATH_MAX];
	double ms[VALUES][MAX_ROUNDS];
};

struct row {
	const char *name;
	const char *args[2]; /* of the target */
	size_t mib; /* to be touched beforehand */
	bool huge; /* in huge pages */
	bool stays; /* dumped with -R; "frozen" is the longest pause that the target saw, and there is no restore */
};

static const struct row rows[] = {
	{ "one page", { "page" }, 64 },
	{ "256 MiB", { "memory", "256" }, 600 },
	{ "1 GiB", { "memory", "1024" }, 2300 },
	{ "1 GiB, huge pages", { "huge", "1024" }, 2300, .huge = true },
	{ "4 GiB, writing", { "writer", "4096" }, 8400 },
	{ "4 GiB, writing, -R", { "writer", "4096" }, 8400, .stays = true },
	{ "1000 threads", { "threads", "1000" }, 128 },
	{ "200 processes", { "processes", "200" }, 256 },
	{ "10000 descriptors", { "descriptors", "10000" }, 128 },
	{ "60000 areas", { "areas", "60000" }, 600 },
	{ "100000 areas", { "areas", "100000" }, 900 },
	{ "1 TiB reserved", { "reserved", "1024" }, 128 },
};

static struct {
	struct tool tools[2];
	int n_tools;
	int rounds;
	char target[PATH_MAX];
	char images[PATH_MAX];
	bool on_disk;
} bench = { .rounds = 5 };

/* How many areas a process may have; the bench needs more than is usual. */
#define MAX_MAP_COUNT "/proc/sys/vm/max_map_count"
#define AREAS 150000

static void die(const char *what, const char *on)
{
	fprintf(stderr, "bench: %s %s: %s\n", what, on, strerror(errno));
	exit(1);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

/* We are PID 1: the orphans of a restore are ours. */
static void reap_all(void)
{
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* Has the host back our free memory again. */
static void warm_memory(size_t mib, bool huge)
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

static pid_t start_target(const struct row *row)
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

/* Runs the tool; returns its wall time in ms. */
static double run_tool(const struct tool *tool, const char *action, pid_t root, const char *option)
{
	bool chained = option && strncmp(option, "--", 2) == 0;
	char pid_text[16];
	int status;

	snprintf(pid_text, sizeof(pid_text), "%d", root);
	double start = now_ms();
	pid_t pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		for (int fd = 0; fd < 2; fd++)
			dup2(null, fd);
		if (!strcmp(action, "dump"))
			execl(tool->path, tool->path, "dump", "-t", pid_text, "-D", bench.images, "-o", "dump.log",
			      "-v0", option, chained ? "-R" : NULL, chained ? "--track-mem" : NULL, NULL);
		else
			execl(tool->path, tool->path, "restore", "-d", "-D", bench.images, "-o", "restore.log", "-v0",
			      NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	double end = now_ms();
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "bench: %s %s failed\n", tool->name, action);
		exit(1);
	}
	return end - start;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type;
	return ftw->level ? remove(path) : 0;
}

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

/* What the writer measures itself. */
static uint64_t *map_pause(void)
{
	int fd = open("/run/pause", O_RDWR | O_CLOEXEC);
	uint64_t *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (at == MAP_FAILED)
		die("can't map", "/run/pause");
	close(fd);
	return at;
}

/* A dump that leaves the target running. */
static double measure_pause(const struct tool *tool, pid_t root, double *dump)
{
	uint64_t *pause = map_pause();

	*pause = 0;
	*dump = run_tool(tool, "dump", root, "-R");
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
		dump = run_tool(tool, "dump", root, NULL);
		reap_all();
		frozen = frozen_ms();
		warm_memory(row->mib, row->huge);
		restore = run_tool(tool, "restore", root, NULL);
	}
	if (kill(root, 0))
		die("no restored process of", row->name);
	/* All of the tree is below us now, and in no session of ours. */
	kill(-1, SIGKILL);
	reap_all();
	nftw(bench.images, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (round < 0)
		return;
	tool->ms[DUMP][round] = dump;
	tool->ms[FROZEN][round] = frozen;
	tool->ms[RESTORE][round] = restore;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values, int n)
{
	qsort(values, n, sizeof(*values), compare_doubles);
	return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
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
	printf("%-18s", "");
	for (int v = 0; v < VALUES; v++)
		printf("%10s%s", value_names[v], bench.n_tools > 1 ? "      criu   ratio" : "");
	printf("\n");
	fflush(stdout);
}

static void run_row(const struct row *row)
{
	for (int round = -1; round < bench.rounds; round++)
		for (int t = 0; t < bench.n_tools; t++)
			measure(&bench.tools[t], row, round);
	printf("%-18s", row->name);
	for (int v = 0; v < VALUES - row->stays; v++) {
		double ours = median(bench.tools[0].ms[v], bench.rounds);

		printf("%10.2f", ours);
		if (bench.n_tools > 1) {
			double peer = median(bench.tools[1].ms[v], bench.rounds);

			printf("%10.2f%8.2f", peer, ours / peer);
		}
	}
	printf("\n");
	fflush(stdout);
}

/* Dumps in a chain, of a target that changes 1% of its memory in between; CRIU needs soft-dirty bits for that. */
static void run_chain(const char *name, const char *mib)
{
	const struct row row = { name, { "changer", mib }, 2 * atoi(mib) + 200, .stays = true };
	const struct tool *tool = &bench.tools[0];
	double full = 0, tenth = 0;
	char base[PATH_MAX], previous[64] = "--track-mem";
	pid_t root = start_target(&row);

	warm_memory(row.mib, false);
	snprintf(base, sizeof(base), "%s", bench.images);
	for (int i = 0; i <= 10; i++) {
		snprintf(bench.images, sizeof(bench.images), "%.*s/%d", PATH_MAX - 16, base, i);
		mkdir(bench.images, 0700);
		double ms = run_tool(tool, "dump", root, i ? previous : "--track-mem");
		full = i ? full : ms;
		tenth = ms;
		snprintf(previous, sizeof(previous), "--prev-images-dir=../%d", i);
		close(open("/run/changing", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
		kill(root, SIGUSR1);
		while (!access("/run/changing", F_OK))
			usleep(1000);
	}
	snprintf(bench.images, sizeof(bench.images), "%s", base);
	kill(-1, SIGKILL);
	reap_all();
	nftw(bench.images, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	printf("%-18s%10.2f  the first dump with --track-mem; the 10th after it, with 1%% changed: %.2f, ratio %.2f\n",
	       name, full, tenth, tenth / full);
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
	if (is_wanted("4 GiB, chain", wanted))
		run_chain("4 GiB, chain", "4096");
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
		{ "ckpt", 1, 0, 'k' },	 { "criu", 1, 0, 'c' },	  { "rounds", 1, 0, 'r' },
		{ "images", 1, 0, 'i' }, { "target", 1, 0, 't' }, { 0 },
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
		else
			exit(2);
	}
	if (!bench.n_tools || !*bench.target || bench.rounds < 1 || bench.rounds > MAX_ROUNDS) {
		fprintf(stderr,
			"usage: bench --ckpt PATH --target PATH [--criu PATH] [--rounds N] [--images DIR] [ROW...]\n");
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
