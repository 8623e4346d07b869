/*
 * Failures on purpose: a fault at every fault point, signals at random moments, a full disk.
 *
 * After a failed dump the tree goes on as before and nothing that could be taken for an image is left. After a
 * failed restore no process, file or mount is left. A signal may also come too late to stop a dump or a restore:
 * then it must be complete.
 */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define GONE_TIMEOUT 20 /* seconds; only against hangs */

static const struct point {
	const char *action, *name;
} points[] = {
#define FAULT(action, name, what) { #action, #action "." #name },
#include "fault_points.def"
#undef FAULT
};
#define N_POINTS (sizeof(points) / sizeof(points[0]))

static const char *const modes[] = { "", ":kill", ":int", ":term" };
#define N_MODES (sizeof(modes) / sizeof(modes[0]))

/* One more problem: the case goes on with a new program, to find them all, and fails in the end. */
static void start_again(struct run *r, struct lines *before)
{
	r->problems++;
	drop_program(r);
	start_program(r);
	free_lines(before);
	snapshot(r, before);
}

static void end_with_problems(struct run *r)
{
	if (r->problems)
		fail_case(r, "%u problems", r->problems);
	finish_program(r);
}

/* Whether all snapshots of dumps that ended are gone: they end with the dumper, or soon after by themselves. */
static bool snapshots_end(struct run *r, const char *what)
{
	pid_t first = 0;

	for (int i = 0; i < GONE_TIMEOUT * 100; i++) {
		pid_t *children;

		reap(r);
		size_t n = children_of(getpid(), &children);
		first = 0;
		for (size_t c = 0; c < n && !first; c++) {
			char *comm = read_text("/proc/%d/comm", children[c]);

			if (comm && !strcmp(comm, "ckpt-snapshot\n"))
				first = children[c];
			free(comm);
		}
		free(children);
		if (!first)
			return true;
		usleep(10000);
	}
	say(r, "%s: its snapshot, process %d, does not end", what, first);
	return false;
}

/* The tree is untouched and no image is there, or (complete allowed) the dump was done and is restored. */
static void judge_failed_dump(struct run *r, struct lines *before, int status, bool killed, bool may_be_complete,
			      const char *what)
{
	char names[512];

	if (status == 0) {
		if (wait_gone(r, GONE_TIMEOUT))
			fail_case(r, "%s: the dump ended with 0, but its tree is still there", what);
		restore_ok(r, NULL);
	}
	if (status && images_left(r, killed, names, sizeof(names)) && !may_be_complete) {
		say(r, "%s: left in %s:%s", what, image_dir(r), names);
		r->problems++;
	}
	if (!snapshots_end(r, what))
		r->problems++;
	if (!is_same(r, before, what))
		start_again(r, before);
	if (!settings.keep)
		remove_tree(image_dir(r));
}

static void need_fault_points(struct run *r)
{
	if (settings.is_criu)
		skip_case(r, "CRIU has no fault points");
}

/* A tree that is to be killed is not cured, and has no snapshots. */
static bool is_of_trees_that_stay(const char *point)
{
	static const char *const names[] = { "dump.snapshot_begun", "dump.snapshots_made", "dump.cured", "dump.thawed",
					     "dump.late_written" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(point, names[i]))
			return true;
	return false;
}

void way_faults_dump(struct run *r)
{
	struct lines before = { 0 };

	need_fault_points(r);
	r->live = true;
	start_program(r);
	snapshot(r, &before);
	for (size_t i = 0; i < N_POINTS * N_MODES; i++) {
		const struct point *point = &points[i / N_MODES];
		const char *mode = modes[i % N_MODES];
		char fault[128];
		struct tool_call call = { .fault = fault, .extra = { "--checksum", "--compress=lz4" } };

		if (strcmp(point->action, "dump") ||
		    (r->program->traits->filtered && !strcmp(point->name, "dump.snapshot_begun")))
			continue;
		snprintf(fault, sizeof(fault), "%s%s", point->name, mode);
		remember_pids(r);
		int status = dump(r, &call, is_of_trees_that_stay(point->name));
		bool killed = !strcmp(mode, ":kill");
		if (status == 0 && (killed || !*mode)) {
			say(r, "CKPT_FAULT=%s: not reached, the dump ended with 0", fault);
			r->problems++;
		}
		judge_failed_dump(r, &before, status, killed, false, fault);
		r->faults++;
	}
	end_with_problems(r);
}

/*
 * The dumper dies before its first operation on the tree, before its second, ... until it comes through. Each time
 * the tree must go on as if it had never been stopped.
 */
void way_operations(struct run *r)
{
	struct lines before = { 0 };
	int status = 128 + SIGKILL, most = settings.full ? 1000000 : 400;

	need_fault_points(r);
	start_program(r);
	snapshot(r, &before);
	for (int k = 1; status && k <= most; k++) {
		char fault[64];
		struct tool_call call = { .fault = fault };

		snprintf(fault, sizeof(fault), "operation:%d", k);
		remember_pids(r);
		status = dump(r, &call, true);
		if (status && status != 128 + SIGKILL)
			fail_case(r, "%s: the dump ended with %d", fault, status);
		char inventory[PATH_MAX];
		snprintf(inventory, sizeof(inventory), "%s/inventory.img", image_dir(r));
		if (status) /* it comes last: once it is there, the images are complete */
			judge_failed_dump(r, &before, status, true, !access(inventory, F_OK), fault);
		r->faults++;
	}
	end_with_problems(r);
}

/* The same with a live copy and snapshots. */
void way_operations_live(struct run *r)
{
	r->live = true;
	way_operations(r);
}

/* The dumper of a tree that is to stay dies at random moments. */
void way_kills(struct run *r)
{
	struct tool_call good = { 0 };
	struct lines before = { 0 };
	int rounds = settings.full ? 2000 : 40;

	if (settings.is_criu)
		skip_case(r, "CRIU promises nothing when a signal ends it");
	srandom(now() * 1000);
	start_program(r);
	snapshot(r, &before);
	if (dump(r, &good, true))
		fail_case(r, "the dump without a signal failed");
	for (int i = 0; i < rounds; i++) {
		struct tool_call call = { .signal = SIGKILL,
					  .signal_delay_us = random() % (long)(good.seconds * 1e6 + 1) };
		char what[128];

		remember_pids(r);
		int status = dump(r, &call, true);
		snprintf(what, sizeof(what), "dump %u, SIGKILL after %ld us", r->dumps, call.signal_delay_us);
		if (status && status != 128 + SIGKILL)
			fail_case(r, "%s: it ended with %d", what, status);
		if (!snapshots_end(r, what))
			r->problems++;
		if (!is_same(r, &before, what))
			start_again(r, &before);
		if (!settings.keep)
			remove_tree(image_dir(r));
	}
	end_with_problems(r);
}

/* What a failed restore could leave behind, as lines. */
static void list_directory(struct lines *lines, const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *d;

	while (dir && (d = readdir(dir)))
		add_line(lines, "file %s/%s", path, d->d_name);
	if (dir)
		closedir(dir);
}

/* Segments of System V shared memory, by key and number. */
static void list_segments(struct lines *lines)
{
	char *text = read_text("/proc/sysvipc/shm"), *rest = text;
	int key, id;

	for (char *line; (line = strsep(&rest, "\n"));)
		if (sscanf(line, "%d %d", &key, &id) == 2)
			add_line(lines, "segment %d with the key %d", id, key);
	free(text);
}

static void list_surroundings(struct run *r, struct lines *lines)
{
	list_directory(lines, r->work);
	list_directory(lines, image_dir(r));
	list_directory(lines, "/run");
	list_directory(lines, "/dev/shm");
	list_segments(lines);
	if (settings.own_tmp)
		list_directory(lines, "/tmp");
	char *mounts = read_text("/proc/self/mountinfo"), *rest = mounts;
	for (char *line; (line = strsep(&rest, "\n"));)
		add_line(lines, "mount %s", line);
	free(mounts);
}

static bool nothing_new(struct run *r, const struct lines *before)
{
	struct lines after = { 0 };

	list_surroundings(r, &after);
	size_t different = compare(r, before, &after, false);
	if (different)
		compare(r, before, &after, true);
	free_lines(&after);
	return !different;
}

static void judge_failed_restore(struct run *r, const struct lines *surroundings, const char *pidfile, const char *what)
{
	size_t alive = wait_gone(r, r->problems ? 2 : GONE_TIMEOUT), n;
	unsigned int problems = r->problems;
	pid_t *children;

	/* Who removes the names of deleted files goes a moment after the tree. */
	for (int i = 0;; i++) {
		reap(r);
		n = children_of(getpid(), &children);
		if (!n || i > GONE_TIMEOUT * 100)
			break;
		free(children);
		usleep(10000);
	}
	if (alive || n) {
		say(r, "%s: left %zu processes of the tree, %zu children of ours (first: %d, state %c)", what, alive, n,
		    n ? children[0] : 0, n ? process_state(children[0]) : '-');
		r->problems++;
		kill_descendants(0);
	}
	free(children);
	if (access(pidfile, F_OK) == 0) {
		say(r, "%s: the failed restore left its pid file", what);
		r->problems++;
		unlink(pidfile);
	}
	if (r->problems == problems && !nothing_new(r, surroundings)) {
		say(r, "%s: the failed restore changed its surroundings (- before, + after)", what);
		r->problems++;
	}
}

/* A restore that came through in spite of the signal: the tree must be right, and is dumped again. */
static void judge_late_signal(struct run *r, const struct lines *before, struct lines *surroundings,
			      const char *pidfile, const char *what)
{
	expect_same(r, before, what);
	unlink(pidfile);
	dump_ok(r, NULL, false);
	free_lines(surroundings);
	list_surroundings(r, surroundings);
}

void way_faults_restore(struct run *r)
{
	struct lines before = { 0 }, surroundings = { 0 };
	char pidfile[PATH_MAX];

	need_fault_points(r);
	start_program(r);
	snapshot(r, &before);
	dump_ok(r, NULL, false);
	list_surroundings(r, &surroundings);
	snprintf(pidfile, sizeof(pidfile), "%s/pid", r->dir);
	for (size_t i = 0; i < N_POINTS * N_MODES; i++) {
		const struct point *point = &points[i / N_MODES];
		const char *mode = modes[i % N_MODES];
		char fault[128];
		struct tool_call call = { .fault = fault, .extra = { "--pidfile", pidfile } };

		if (strcmp(point->action, "restore"))
			continue;
		if (!strcmp(point->name, "restore.tracked"))
			call.extra[2] = "--track-mem";
		snprintf(fault, sizeof(fault), "%s%s", point->name, mode);
		int status = restore(r, &call);
		if (status == 0 && (!*mode || !strcmp(mode, ":kill"))) {
			say(r, "CKPT_FAULT=%s: not reached, the restore ended with 0", fault);
			r->problems++;
		}
		if (status)
			judge_failed_restore(r, &surroundings, pidfile, fault);
		else
			judge_late_signal(r, &before, &surroundings, pidfile, fault);
		r->faults++;
	}
	restore_ok(r, NULL);
	expect_same(r, &before, "after the restore");
	end_with_problems(r);
}

static int random_signal(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGKILL };

	return signals[random() % 3];
}

static void dump_with_signals(struct run *r, struct lines *before, int rounds)
{
	struct tool_call good = { 0 };

	if (dump(r, &good, true))
		fail_case(r, "the dump without a signal failed");
	for (int i = 0; i < rounds; i++) {
		struct tool_call call = { .signal = random_signal(),
					  .signal_delay_us = random() % (long)(good.seconds * 1e6 + 1) };
		char what[128];

		remember_pids(r);
		int status = dump(r, &call, false);
		snprintf(what, sizeof(what), "dump %u, signal %d after %ld us", r->dumps, call.signal,
			 call.signal_delay_us);
		bool killed = status == 128 + SIGKILL;
		/* Killed while it kills the tree: the images are complete, and so must be the death. */
		char names[512];
		if (killed && images_left(r, true, names, sizeof(names)) && wait_gone(r, 0.2) < r->n_pids)
			status = 0;
		judge_failed_dump(r, before, status, killed, killed, what);
	}
}

static void restore_with_signals(struct run *r, const struct lines *before, int rounds)
{
	struct lines surroundings = { 0 };
	struct tool_call good = { 0 };
	char pidfile[PATH_MAX];

	dump_ok(r, NULL, false);
	if (restore(r, &good))
		fail_case(r, "the restore without a signal failed");
	expect_same(r, before, "after the restore without a signal");
	dump_ok(r, NULL, false);
	list_surroundings(r, &surroundings);
	snprintf(pidfile, sizeof(pidfile), "%s/pid", r->dir);
	for (int i = 0; i < rounds; i++) {
		struct tool_call call = { .signal = random_signal(),
					  .extra = { "--pidfile", pidfile },
					  .signal_delay_us = random() % (long)(good.seconds * 1e6 + 1) };
		char what[128];
		int status = restore(r, &call);

		snprintf(what, sizeof(what), "restore %u, signal %d after %ld us, status %d", r->restores, call.signal,
			 call.signal_delay_us, status);
		/* Ended by the signal after the tree went on, but before it said so. */
		if (status == 128 + call.signal && wait_gone(r, 0.3) && is_same(r, before, what))
			status = 0;
		if (status == 128 + SIGKILL) /* who is killed cannot remove it */
			unlink(pidfile);
		if (status)
			judge_failed_restore(r, &surroundings, pidfile, what);
		else
			judge_late_signal(r, before, &surroundings, pidfile, what);
	}
	restore_ok(r, NULL);
}

void way_signals(struct run *r)
{
	struct lines before = { 0 };
	int rounds = settings.full ? 100 : 15;

	if (settings.is_criu)
		skip_case(r, "CRIU promises nothing when a signal ends it");
	srandom(now() * 1000);
	start_program(r);
	snapshot(r, &before);
	dump_with_signals(r, &before, rounds);
	restore_with_signals(r, &before, rounds);
	expect_same(r, &before, "after the restore");
	end_with_problems(r);
}

/* Dumps into a file system of this size. Returns the exit status. */
static int dump_into(struct run *r, const struct lines *before, const char *options, const char *extra)
{
	struct tool_call call = { .extra = { extra } };
	char path[PATH_MAX], what[128], names[512];

	snprintf(path, sizeof(path), "%s/img-%u", r->dir, r->dumps + 1);
	make_dirs(path);
	if (mount("none", path, "tmpfs", 0, options))
		skip_case(r, "can't mount a tmpfs: %s", strerror(errno));
	snprintf(what, sizeof(what), "after a dump into a tmpfs with %s", options);
	remember_pids(r);
	int status = dump(r, &call, true);
	expect_same(r, before, what);
	if (status && images_left(r, false, names, sizeof(names)))
		fail_case(r, "%s: left in it:%s", what, names);
	umount2(path, MNT_DETACH);
	return status;
}

void way_full_disk(struct run *r)
{
	struct lines before = { 0 };
	char options[64];
	int failed = 0;

	if (settings.is_criu)
		skip_case(r, "CRIU leaves its half-made images");
	if (unshare(CLONE_NEWNS))
		skip_case(r, "no mount namespace: %s", strerror(errno));
	start_program(r);
	snapshot(r, &before);
	for (unsigned long kb = 4; kb < 1ul << 22; kb += kb / 2) {
		snprintf(options, sizeof(options), "size=%luk", kb);
		if (dump_into(r, &before, options, NULL) == 0)
			break;
		failed++;
	}
	for (int inodes = 2; inodes < 1000; inodes += 1 + inodes / 4) {
		snprintf(options, sizeof(options), "nr_inodes=%d", inodes);
		if (dump_into(r, &before, options, NULL) == 0)
			break;
		failed++;
	}
	if (failed < 4)
		fail_case(r, "only %d dumps failed on full disks", failed);
	dump_ok(r, NULL, false);
	restore_ok(r, NULL);
	finish_program(r);
}

/* A dump ends at a full disk, with this line in its log, and without that one. */
static void fill_disk(struct run *r, const char *extra, const char *done, const char *not_done)
{
	struct lines none = { 0 };

	if (!dump_into(r, &none, "size=12m", extra))
		fail_case(r, "%s: 12 MiB are enough", extra);
	char *log = read_text("%s/dump-%u.log", r->dir, r->dumps);
	if (!log || !strstr(log, "No space left on device") || !strstr(log, done) || strstr(log, not_done))
		fail_case(r, "%s: its log does not say that there is no space, or says \"%s\"", extra, not_done);
	free(log);
	if (!snapshots_end(r, extra))
		fail_case(r, "a snapshot is left");
}

/* Of a program with much memory: the disk is full in the middle of the live copy, and in that of a snapshot. */
void way_full_disk_copy(struct run *r)
{
	if (settings.is_criu)
		skip_case(r, "CRIU copies nothing of a tree that runs");
	if (unshare(CLONE_NEWNS))
		skip_case(r, "no mount namespace: %s", strerror(errno));
	start_program(r);
	fill_disk(r, "--precopy-rounds=3", "tracking", "collected from outside");
	fill_disk(r, "--no-precopy", "is its snapshot", "images have their final names");
	dump_ok(r, NULL, false);
	restore_ok(r, NULL);
	finish_program(r);
}
