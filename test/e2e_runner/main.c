/*
 * The e2e runner: chooses the cases, runs two at a time, and says how they went (TAP).
 *
 *   e2e_runner [--tool PATH] [--programs DIR] [--sources DIR] [--out DIR] [--jobs N] [--ways A,B] [--cross PATH]
 *              [--full] [--keep] [--list] [PROGRAM...]
 */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define CASE_TIMEOUT 1200 /* seconds; only against hangs */
#define MAX_JOBS 16

struct settings settings;

struct test_case {
	const struct program *program;
	const struct way *way;
	pid_t worker; /* while it runs */
	double started;
	int result; /* exit status of the worker */
	unsigned int differ; /* lines of /proc */
};

static struct {
	struct program *program;
	size_t n_programs;
	struct test_case *cases;
	size_t n_cases;
	unsigned int jobs, passed, failed, skipped, faults, told;
	bool list, cross;
	const char *ways;
	char **wanted;
} suite = { .jobs = 2 };

static const struct program_traits traits[] = {
#define PROGRAM(program, ...) { .name = #program, ##__VA_ARGS__ },
#include "programs.def"
#undef PROGRAM
};
static const struct program_traits usual = { 0 }, to_refuse = { .ways = "refuse" };

static const struct program_traits *traits_of(const char *name)
{
	for (size_t i = 0; i < sizeof(traits) / sizeof(traits[0]); i++)
		if (!strcmp(traits[i].name, name))
			return &traits[i];
	return strncmp(name, "refuse_", 7) ? &usual : &to_refuse;
}

static bool is_wanted(const char *name)
{
	if (!suite.wanted || !*suite.wanted)
		return true;
	for (char **w = suite.wanted; *w; w++)
		if (!strcmp(*w, name))
			return true;
	return false;
}

static bool in_list(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; (at = strstr(at, name)); at++)
		if ((at == list || at[-1] == ',') && (!at[len] || at[len] == ','))
			return true;
	return false;
}

/* The programs: each NAME.c of the directory with the sources, and each real_NAME.sh. */
static void find_programs(void)
{
	struct dirent **found;
	int n = scandir(settings.sources, &found, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char name[64], *dot;

		snprintf(name, sizeof(name), "%.60s", found[i]->d_name);
		dot = strchr(name, '.');
		bool script = dot && !strcmp(dot, ".sh") && !strncmp(name, "real_", 5);
		if (!script && (!dot || strcmp(dot, ".c")))
			continue;
		*dot = 0;
		suite.program = realloc(suite.program, (suite.n_programs + 1) * sizeof(struct program));
		struct program *p = &suite.program[suite.n_programs++];
		*p = (struct program){ .script = script, .traits = traits_of(name) };
		memcpy(p->name, name, sizeof(name));
		if (script)
			snprintf(p->path, sizeof(p->path), "%s/%s.sh", settings.sources, name);
		else
			snprintf(p->path, sizeof(p->path), "%s/%s", settings.programs, name);
	}
}

static void choose_cases(void)
{
	for (size_t i = 0; i < suite.n_programs; i++) {
		const struct program *p = &suite.program[i];
		const char *names = p->traits->ways ? p->traits->ways : "plain,running,live,twice,explain";
		bool to_be_refused = in_list(names, "refuse");

		if (!is_wanted(p->name))
			continue;
		if (suite.ways)
			names = suite.ways;
		for (const struct way *way = ways; way->name; way++) {
			if (!in_list(names, way->name))
				continue;
			if (to_be_refused ? !in_list("refuse,none", way->name) : !strcmp(way->name, "refuse"))
				continue;
			suite.cases = realloc(suite.cases, (suite.n_cases + 1) * sizeof(struct test_case));
			suite.cases[suite.n_cases++] = (struct test_case){ .program = p, .way = way, .result = -1 };
		}
	}
}

static void case_dir(const struct test_case *c, char *path, size_t size)
{
	snprintf(path, size, "%s/%s.%s", settings.out, c->program->name, c->way->name);
}

/* So that nobody else takes the numbers of terminals between a dump and a restore. */
static void own_terminals(void)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5") ||
	    mount("/dev/pts/ptmx", "/dev/ptmx", NULL, MS_BIND, NULL))
		_exit(1);
}

static void start_case(struct test_case *c)
{
	struct run r = { .program = c->program, .way = c->way->name, .terminal = -1 };
	char path[PATH_MAX];

	case_dir(c, r.dir, sizeof(r.dir));
	snprintf(r.work, sizeof(r.work), "%s/work", r.dir);
	remove_tree(r.dir);
	make_dirs(r.work);
	c->started = now();
	fflush(stdout);
	c->worker = fork();
	if (c->worker)
		return;
	snprintf(path, sizeof(path), "%s/report", r.dir);
	r.report = fopen(path, "we");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	/* Of its own: numbers of IPC objects are chosen by a restore, and objects stay when their processes end. */
	if (unshare(CLONE_NEWIPC | CLONE_NEWNS))
		_exit(1);
	own_terminals();
	setsid();
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	if (settings.full)
		setenv("FULL", "1", 1);
	if (!r.report)
		_exit(1);
	if (c->program->traits->later && !*suite.wanted && !settings.is_criu)
		skip_case(&r, "%s", c->program->traits->later);
	c->way->run(&r);
	_exit(0);
}

/* The lines of the report: "@faults N", "@differ N" and "@skip REASON" are for us. */
static void tell_report(struct test_case *c, const char *dir, const char *head)
{
	char *text = read_text("%s/report", dir), *rest = text, *line;
	const char *skip = "";

	for (char *at = text; at && (at = strstr(at, "@skip ")); at++)
		skip = at + 6;
	printf("%s%s%.*s\n", head, *skip ? " # SKIP " : "", (int)strcspn(skip, "\n"), skip);
	while (text && (line = strsep(&rest, "\n"))) {
		if (!strncmp(line, "@faults ", 8))
			suite.faults += atoi(line + 8);
		else if (!strncmp(line, "@differ ", 8))
			c->differ = atoi(line + 8);
		else if (*line && strncmp(line, "@skip ", 6) && !*skip)
			printf("#   %s\n", line);
	}
	free(text);
}

static void end_case_of(struct test_case *c, int status)
{
	char dir[PATH_MAX], head[256];

	case_dir(c, dir, sizeof(dir));
	c->worker = 0;
	c->result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	suite.passed += c->result == 0;
	suite.skipped += c->result == SKIPPED;
	bool failed = c->result != 0 && c->result != SKIPPED;
	suite.failed += failed;
	snprintf(head, sizeof(head), "%sok %u - %s %s (%.1f s)", failed ? "not " : "", ++suite.told, c->program->name,
		 c->way->name, now() - c->started);
	tell_report(c, dir, head);
	if (failed) {
		if (c->result > 128)
			printf("#   the worker was killed by signal %d (hang?)\n", c->result - 128);
		printf("#   images and logs: %s\n#   again: CKPT=%s sh test/run_e2e.sh --ways %s %s\n", dir,
		       settings.tool, c->way->name, c->program->name);
	} else if (!settings.keep) {
		remove_tree(dir);
	}
	fflush(stdout);
}

/* What a worker that was killed has left comes to us; everything that is not a worker must go. */
static void kill_strays(void)
{
	pid_t *children;
	size_t n = children_of(getpid(), &children);

	for (size_t i = 0; i < n; i++) {
		bool worker = false;

		for (size_t k = 0; k < suite.n_cases; k++)
			worker = worker || suite.cases[k].worker == children[i];
		if (!worker)
			kill(children[i], SIGKILL);
	}
	free(children);
}

static void run_cases(void)
{
	size_t next = 0, running = 0;

	while (next < suite.n_cases || running) {
		int status;

		for (; running < suite.jobs && next < suite.n_cases; running++)
			start_case(&suite.cases[next++]);
		pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);
		for (size_t i = 0; i < next; i++) {
			struct test_case *c = &suite.cases[i];

			if (c->worker && c->worker == pid) {
				end_case_of(c, status);
				running--;
			} else if (c->worker && now() - c->started > CASE_TIMEOUT) {
				kill(c->worker, SIGKILL);
			}
		}
		if (pid <= 0) {
			kill_strays();
			sleep_ms(2);
		}
	}
}

/* One line a program: what became of each way. */
static void print_matrix(void)
{
	printf("\n%-24s %-24s %-24s\n", "program", "peer restores ours", "we restore the peer's");
	for (size_t i = 0; i < suite.n_programs; i++) {
		char cell[2][32] = { "", "" };

		for (size_t k = 0; k < suite.n_cases; k++) {
			const struct test_case *c = &suite.cases[k];
			char *to = cell[!strcmp(c->way->name, "restores-peer")];

			if (c->program != &suite.program[i])
				continue;
			snprintf(to, 32, "%s", c->result == 0 ? "yes" : c->result == SKIPPED ? "skipped" : "NO");
			if (c->result == 0 && c->differ)
				snprintf(to, 32, "yes, but %u lines of /proc", c->differ);
		}
		if (*cell[0] || *cell[1])
			printf("%-24s %-24s %-24s\n", suite.program[i].name, cell[0], cell[1]);
	}
}

static int run_suite(void)
{
	printf("1..%zu\n", suite.n_cases);
	run_cases();
	if (suite.cross)
		print_matrix();
	if (suite.faults)
		printf("# %u fault points x modes ran\n", suite.faults);
	printf("# e2e: %u passed, %u failed, %u skipped\n", suite.passed, suite.failed, suite.skipped);
	fflush(stdout);
	return suite.failed ? 1 : 0;
}

/* PID 1 of the namespace: with it, everything goes. */
static int run_inside(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) || mount("proc", "/proc", "proc", 0, NULL) ||
	    mount("run", "/run", "tmpfs", 0, "mode=755") || mount("shm", "/dev/shm", "tmpfs", 0, "mode=1777")) {
		fprintf(stderr, "e2e_runner: mount: %s\n", strerror(errno));
		return 1;
	}
	/* A /tmp of our own shows what is left there; not if we were built in it. */
	settings.own_tmp = strncmp(settings.out, "/tmp/", 5) && strncmp(settings.programs, "/tmp/", 5) &&
			   strncmp(settings.tool, "/tmp/", 5) && !mount("tmp", "/tmp", "tmpfs", 0, "mode=1777");
	return run_suite();
}

static volatile sig_atomic_t interrupted;

static void on_signal(int signal_number)
{
	interrupted = signal_number;
}

static int run_in_namespaces(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	int status;

	if (unshare(CLONE_NEWPID | CLONE_NEWNS)) {
		printf("# no PID and mount namespace (%s): skipped, these tests need root\n", strerror(errno));
		printf("# e2e: 0 passed, 0 failed, %zu skipped\n", suite.n_cases);
		return 0;
	}
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0)
		exit(run_inside());
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		if (interrupted)
			kill(pid, SIGKILL);
	if (interrupted)
		return 128 + interrupted;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void set_path(char *to, const char *path)
{
	if (!realpath(path, to)) {
		fprintf(stderr, "e2e_runner: %s: %s\n", path, strerror(errno));
		exit(2);
	}
}

static void parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "tool", 1, 0, 't' },
		{ "programs", 1, 0, 'p' },
		{ "sources", 1, 0, 's' },
		{ "out", 1, 0, 'o' },
		{ "jobs", 1, 0, 'j' },
		{ "ways", 1, 0, 'w' },
		{ "cross", 1, 0, 'x' },
		{ "full", 0, 0, 'f' },
		{ "keep", 0, 0, 'k' },
		{ "list", 0, 0, 'l' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 't':
			set_path(settings.tool, optarg);
			break;
		case 'p':
			set_path(settings.programs, optarg);
			break;
		case 's':
			set_path(settings.sources, optarg);
			break;
		case 'o':
			make_dirs(optarg);
			set_path(settings.out, optarg);
			break;
		case 'j':
			suite.jobs = atoi(optarg);
			break;
		case 'w':
			suite.ways = optarg;
			break;
		case 'x':
			suite.cross = true;
			suite.ways = suite.ways ? suite.ways : "peer-restores,restores-peer";
			set_path(settings.peer, optarg);
			break;
		case 'f':
			settings.full = true;
			break;
		case 'k':
			settings.keep = true;
			break;
		case 'l':
			suite.list = true;
			break;
		default:
			exit(2);
		}
	}
	suite.wanted = argv + optind;
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	if (!*settings.tool || !*settings.programs || !*settings.sources || !*settings.out) {
		fprintf(stderr,
			"e2e_runner: --tool, --programs, --sources and --out are needed (see test/run_e2e.sh)\n");
		return 2;
	}
	const char *base = strrchr(settings.tool, '/');
	settings.is_criu = base && !strcmp(base, "/criu");
	find_programs();
	choose_cases();
	if (suite.list) {
		for (size_t i = 0; i < suite.n_cases; i++)
			printf("%s %s\n", suite.cases[i].program->name, suite.cases[i].way->name);
		return 0;
	}
	return run_in_namespaces();
}
