/*
 * /proc of all tasks of a tree as lines of text, to be compared before a dump and after a restore.
 *
 * Read while the tree runs, so it holds only what does not change while a program waits: not what counts on
 * (times, faults, residency), not what depends on the moment (registers, S or R, wchan).
 */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <linux/kcmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct allowed {
	const char *file, *pattern;
	bool criu;
} allowed[] = {
#define ALLOWED(file, pattern, reason) { file, pattern, false },
#define ALLOWED_CRIU(file, pattern, reason) { file, pattern, true },
#include "allowed.def"
#undef ALLOWED
#undef ALLOWED_CRIU
};

bool with_criu(void)
{
	return settings.is_criu || *settings.peer;
}

bool is_volatile(const char *file, const char *line)
{
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (allowed[i].criu <= with_criu() && !strcmp(allowed[i].file, file) &&
		    !fnmatch(allowed[i].pattern, line, 0))
			return true;
	return false;
}

void add_line(struct lines *lines, const char *fmt, ...)
{
	va_list args;
	char *line;

	va_start(args, fmt);
	if (vasprintf(&line, fmt, args) < 0)
		abort();
	va_end(args);
	if (lines->n == lines->size) {
		lines->size = lines->size ? lines->size * 2 : 256;
		lines->line = realloc(lines->line, lines->size * sizeof(*lines->line));
	}
	lines->line[lines->n++] = line;
}

void free_lines(struct lines *lines)
{
	for (size_t i = 0; i < lines->n; i++)
		free(lines->line[i]);
	free(lines->line);
	*lines = (struct lines){ 0 };
}

/* What epoll, inotify and fanotify watch (fdinfo) is told without the number of its inode, and the handle with that in
 * it. */
static int compared_length(char *line)
{
	const char *end = strncmp(line, "tfd:", 4) ? NULL : strstr(line, " ino:");

	if (!strncmp(line, "inotify ", 8) || !strncmp(line, "fanotify ino:", 13)) {
		char *ino = strstr(line, " ino:"), *mask = strstr(line, *line == 'i' ? " mask:" : " mflags:");

		if (ino && mask)
			memmove(ino, mask, strlen(mask) + 1);
		end = strstr(line, " fhandle");
	}

	return end ? (int)(end - line) : (int)strlen(line);
}

/* Every line of a file of /proc that may not change. */
static void add_file(struct lines *lines, const char *who, const char *name, const char *path)
{
	char *text = read_text("%s", path), *rest = text;

	for (char *line; text && (line = strsep(&rest, "\n"));)
		if (*line && !is_volatile(name, line))
			add_line(lines, "%s %s: %.*s", who, name, compared_length(line), line);
	free(text);
}

/* Files with NUL bytes, or secrets of no interest as text: only their length and a sum. */
static void add_sum(struct lines *lines, const char *who, const char *name, const char *path)
{
	FILE *f = fopen(path, "re");
	uint64_t sum = 0xcbf29ce484222325ull, n = 0;

	for (int c; f && (c = fgetc(f)) != EOF; n++)
		sum = (sum ^ (unsigned char)c) * 0x100000001b3ull;
	add_line(lines, "%s %s: %lu bytes, sum %016lx", who, name, n, sum);
	if (f)
		fclose(f);
}

/* The fields of stat(5) that a restore has to bring back, by their number there. */
static void add_stat(struct lines *lines, const char *who, const char *path)
{
	static const struct {
		int number;
		const char *name;
	} fields[] = {
		{ 4, "ppid" },	       { 5, "pgrp" },	    { 6, "session" },	  { 7, "tty_nr" },
		{ 8, "tpgid" },	       { 18, "priority" },  { 19, "nice" },	  { 25, "rsslim" },
		{ 26, "startcode" },   { 27, "endcode" },   { 28, "startstack" }, { 38, "exit_signal" },
		{ 40, "rt_priority" }, { 41, "policy" },    { 45, "start_data" }, { 46, "end_data" },
		{ 47, "start_brk" },   { 48, "arg_start" }, { 49, "arg_end" },	  { 50, "env_start" },
		{ 51, "env_end" },     { 52, "exit_code" },
	};
	char *text = read_text("%s", path), *at = text ? strrchr(text, ')') : NULL;
	size_t next = 0;

	if (at) {
		add_line(lines, "%s state: %c", who, strchr("TtZX", at[2]) ? at[2] : 'R');
		at += 2;
	}
	for (int number = 3; at && next < sizeof(fields) / sizeof(fields[0]); number++) {
		char *value = strsep(&at, " \n");

		if (number == fields[next].number)
			add_line(lines, "%s stat %s: %s", who, fields[next++].name, value);
	}
	free(text);
}

void cut_ghost_name(char *name)
{
	static const char *const marks[] = { ".ckpt-ghost-", ".cr.", ".cr_link" };
	char *at = NULL, *end = strstr(name, " (deleted)");

	for (size_t i = 0; end && i < sizeof(marks) / sizeof(marks[0]) && !at; i++)
		at = strstr(name, marks[i]);
	if (!at && end && strstr(name, "/#")) /* the number of the inode, of one that never had a name */
		at = strstr(name, "/#");
	if (at && at < end)
		memmove(at, end, strlen(end) + 1);
}

static void add_link(struct lines *lines, const char *who, const char *name, const char *path)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target) - 1);

	if (n < 0 || is_volatile("ns", name))
		return;
	target[n] = 0;
	cut_ghost_name(target);
	add_line(lines, "%s %s -> %s", who, name, target);
}

struct open_file {
	pid_t pid;
	int fd;
	size_t first; /* index of the descriptor that names this open file */
	size_t index;
};

/* An order in which equal open files are neighbours; what cannot be asked is only equal to itself. */
static int compare_open_files(const void *a, const void *b)
{
	const struct open_file *x = a, *y = b;
	long order = syscall(SYS_kcmp, x->pid, y->pid, KCMP_FILE, x->fd, y->fd);

	if (order == 1)
		return -1;
	if (order == 2)
		return 1;
	return x->index < y->index ? -1 : 1;
}

static size_t list_descriptors(const pid_t *pids, size_t n_pids, struct open_file **files)
{
	size_t n = 0;

	*files = NULL;
	for (size_t i = 0; i < n_pids; i++) {
		char path[64];
		snprintf(path, sizeof(path), "/proc/%d/fd", pids[i]);
		DIR *dir = opendir(path);
		struct dirent *d;

		while (dir && (d = readdir(dir))) {
			if (d->d_name[0] == '.')
				continue;
			*files = realloc(*files, (n + 1) * sizeof(**files));
			(*files)[n] = (struct open_file){ pids[i], atoi(d->d_name), n, n };
			n++;
		}
		if (dir)
			closedir(dir);
	}
	return n;
}

/* The text behind a descriptor, without the numbers of inodes that the kernel gives away anew. */
static void describe_descriptor(const struct open_file *f, char *target, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", f->pid, f->fd);
	ssize_t n = readlink(path, target, size - 1);
	target[n < 0 ? 0 : n] = 0;
	char *number = strstr(target, ":[");
	if (number)
		strcpy(number, ":[...]");
	cut_ghost_name(target);
}

static void add_descriptors(struct lines *lines, const pid_t *pids, size_t n_pids)
{
	struct open_file *files;
	size_t n = list_descriptors(pids, n_pids, &files);
	size_t *first = calloc(n + 1, sizeof(*first));
	struct open_file *sorted = malloc((n + 1) * sizeof(*sorted));

	memcpy(sorted, files, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_open_files);
	for (size_t i = 0; i < n; i++) {
		bool shared = i && !syscall(SYS_kcmp, sorted[i - 1].pid, sorted[i].pid, KCMP_FILE, sorted[i - 1].fd,
					    sorted[i].fd);
		first[sorted[i].index] = shared ? first[sorted[i - 1].index] : sorted[i].index;
	}
	for (size_t i = 0; i < n; i++) {
		char who[64], path[64], target[PATH_MAX];
		const struct open_file *owner = &files[first[i]];

		describe_descriptor(&files[i], target, sizeof(target));
		snprintf(who, sizeof(who), "%d fd %d", files[i].pid, files[i].fd);
		add_line(lines, "%s -> %s, the open file of %d fd %d", who, target, owner->pid, owner->fd);
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", files[i].pid, files[i].fd);
		add_file(lines, who, "fdinfo", path);
	}
	free(first);
	free(sorted);
	free(files);
}

/* struct sched_attr of linux/sched/types.h as of 5.3. */
struct scheduling {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

/* What no file of /proc shows of a thread, but system calls do. */
static void add_scheduling(struct lines *lines, const char *who, pid_t tid)
{
	struct scheduling s = { 0 };
	char path[64];
	uint8_t cpus[1024] = { 0 };
	char text[2 * sizeof(cpus) + 1];

	if (!syscall(SYS_sched_getattr, tid, &s, sizeof(s), 0))
		add_line(lines,
			 "%s sched_getattr: policy %u, flags %#lx, nice %d, priority %u, %lu/%lu/%lu ns, utilization "
			 "%u-%u",
			 who, s.policy, s.flags, s.nice, s.priority, s.policy == 6 ? s.runtime : 0,
			 s.policy == 6 ? s.deadline : 0, s.policy == 6 ? s.period : 0, s.util_min, s.util_max);
	add_line(lines, "%s ioprio_get: %#lx", who, syscall(SYS_ioprio_get, 1 /* IOPRIO_WHO_PROCESS */, tid));
	long n = syscall(SYS_sched_getaffinity, tid, sizeof(cpus), cpus);
	for (long i = 0; i < n; i++)
		sprintf(text + 2 * i, "%02x", cpus[i]);
	add_line(lines, "%s sched_getaffinity: %.*s", who, n > 0 ? (int)(2 * n) : 0, text);
	snprintf(path, sizeof(path), "/proc/%d/timerslack_ns", tid);
	add_file(lines, who, "timerslack_ns", path);
}

/* Whether a thread is one of the kernel's, which works for the process: they come and go. */
static bool is_worker(pid_t pid, const char *tid)
{
	char *text = read_text("/proc/%d/task/%s/stat", pid, tid), *rest = text ? strrchr(text, ')') : NULL;
	unsigned int flags = 0;
	bool worker = rest && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && flags & 0x10;

	free(text);
	return worker;
}

static void add_threads(struct lines *lines, pid_t pid)
{
	static const char *const texts[] = { "status", "personality", "cgroup" };
	char path[128], who[64];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	DIR *dir = opendir(path);
	struct dirent *d;
	while (dir && (d = readdir(dir))) {
		if (d->d_name[0] == '.' || is_worker(pid, d->d_name))
			continue;
		snprintf(who, sizeof(who), "%d/%.16s", pid, d->d_name);
		/* Of a zombie, nobody but its parent learns anything: its ids and how it ended, which stat tells. */
		for (size_t i = process_state(pid) == 'Z' ? 3 : 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
			snprintf(path, sizeof(path), "/proc/%d/task/%.16s/%s", pid, d->d_name, texts[i]);
			add_file(lines, who, texts[i], path);
		}
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/comm", pid, d->d_name);
		add_file(lines, who, "comm", path);
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/stat", pid, d->d_name);
		add_stat(lines, who, path);
		if (process_state(pid) != 'Z')
			add_scheduling(lines, who, atoi(d->d_name));
	}
	if (dir)
		closedir(dir);
}

/* The kernel numbers the groups anew: what counts is the nice value of a session's. */
static void add_autogroup(struct lines *lines, pid_t pid)
{
	char *text = read_text("/proc/%d/autogroup", pid), *nice = text ? strstr(text, " nice ") : NULL;

	if (nice)
		add_line(lines, "%d autogroup:%s", pid, nice);
	free(text);
}

static void add_process(struct lines *lines, pid_t pid)
{
	static const char *const texts[] = { "limits",	   "timers",	     "oom_score_adj", "coredump_filter",
					     "loginuid",   "uid_map",	     "gid_map",	      "setgroups",
					     "projid_map", "timens_offsets", "attr/current" };
	static const char *const sums[] = { "cmdline", "environ", "auxv" };
	static const char *const links[] = { "exe",
					     "cwd",
					     "root",
					     "ns/cgroup",
					     "ns/ipc",
					     "ns/mnt",
					     "ns/net",
					     "ns/pid",
					     "ns/pid_for_children",
					     "ns/time",
					     "ns/time_for_children",
					     "ns/user",
					     "ns/uts" };
	char path[128], who[32];

	snprintf(who, sizeof(who), "%d", pid);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, texts[i]);
		add_file(lines, who, texts[i], path);
	}
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, sums[i]);
		add_sum(lines, who, sums[i], path);
	}
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, links[i]);
		add_link(lines, who, links[i], path);
	}
	add_autogroup(lines, pid);
	snapshot_maps(lines, pid);
}

/* What a process shares with its parent beside descriptors: tables that clone(2) can share. */
static void add_sharing(struct lines *lines, pid_t pid)
{
	static const struct {
		int type;
		const char *name;
	} kinds[] = {
		{ KCMP_VM, "memory" }, { KCMP_FILES, "descriptors" }, { KCMP_FS, "fs" }, { KCMP_SIGHAND, "actions" }
	};
	char *stat = read_text("/proc/%d/stat", pid), *end = stat ? strrchr(stat, ')') : NULL;
	int ppid = end ? atoi(end + 4) : 0;

	for (size_t i = 0; ppid && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (syscall(SYS_kcmp, pid, ppid, kinds[i].type, 0, 0) == 0)
			add_line(lines, "%d shares its %s with its parent", pid, kinds[i].name);
	free(stat);
}

void snapshot(struct run *r, struct lines *lines)
{
	pid_t *pids;
	size_t n = tree_of(r->root, &pids);

	add_line(lines, "processes: %zu", n);
	for (size_t i = 0; i < n; i++) {
		add_threads(lines, pids[i]);
		if (process_state(pids[i]) == 'Z')
			continue;
		add_process(lines, pids[i]);
		if (i)
			add_sharing(lines, pids[i]);
	}
	add_descriptors(lines, pids, n);
	free(pids);
}
