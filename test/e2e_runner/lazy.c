/* Restores whose memory comes late, from images or from a page server. */
#include "runner.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT "12345"

static const char *const local[] = { NULL };
static const char *const remote[] = { "--page-server", "--address", "127.0.0.1", "--port", PORT, NULL };
static const char *const server[] = { "--lazy-pages", "--address", "127.0.0.1", "--port", PORT, NULL };

static void must_end_well(struct run *r, struct tool_call *call, pid_t pid)
{
	int status = tool_wait(r, call, pid);

	if (!status)
		return;
	char log[PATH_MAX];
	snprintf(log, sizeof(log), "%s/%s.log", r->dir, call->label);
	say_file(r, log, 8);
	fail_case(r, "%s ended with %d", call->label, status);
}

static void restore_lazily(struct run *r, const char *tool)
{
	struct tool_call call = { .tool = tool, .extra = { "--lazy-pages" } };
	int status = restore(r, &call);

	if (status)
		fail_case(r, "restore %u with --lazy-pages ended with %d", r->restores, status);
}

/* First until all is there, when it must look as before; then in the middle of it. */
static void lazy(struct run *r, const char *const *options, bool serves, const char *daemon)
{
	struct lines before = { 0 };

	start_program(r);
	if (!r->program->traits->busy)
		snapshot(r, &before);
	for (int i = daemon ? 1 : 0; i < 2; i++) {
		struct tool_call serving = { .label = i ? "lazy-pages-2" : "lazy-pages-1", .tool = daemon };
		struct tool_call giving = { .label = i ? "page-server-2" : "page-server-1" };
		pid_t giver = 0;

		dump_ok(r, NULL, false);
		if (serves)
			giver = start_server(r, &giving, "page-server", server);
		pid_t pid = start_server(r, &serving, "lazy-pages", options);
		restore_lazily(r, daemon);
		if (!i) {
			must_end_well(r, &serving, pid);
			if (giver)
				must_end_well(r, &giving, giver);
			if (!r->program->traits->busy && !daemon)
				expect_same(r, &before, "when all memory had come");
			continue;
		}
		check_program(r);
	}
	end_case(r, 0);
}

void way_lazy(struct run *r)
{
	lazy(r, local, false, NULL);
}

void way_lazy_chain(struct run *r)
{
	struct tool_call serving = { .label = "lazy-pages" };

	start_program(r);
	dump_ok(r, NULL, false);
	make_chain(r);
	start_server(r, &serving, "lazy-pages", local);
	restore_lazily(r, NULL);
	finish_program(r);
}

void way_lazy_remote(struct run *r)
{
	own_network(r);
	lazy(r, remote, true, NULL);
}

void way_lazy_remote_peer(struct run *r)
{
	own_network(r);
	lazy(r, remote, true, settings.peer);
}

/*
 * The tree is restored beside itself, in a PID namespace of its own, while the dump that gives it its memory still
 * holds it. Then the first one is gone, and the second one right.
 */
static int migrate(struct run *r, const char *tool)
{
	static const char *const from[] = { "--page-server", "--address", "127.0.0.1", "--port", PORT, NULL };
	struct tool_call serving = { .label = "lazy-pages", .tool = tool };

	if (mount("proc", "/proc", "proc", 0, NULL))
		fail_case(r, "can't mount /proc: %s", strerror(errno));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid_t pid = start_server(r, &serving, "lazy-pages", from);
	restore_lazily(r, tool);
	must_end_well(r, &serving, pid);
	check_program(r);
	return 0;
}

static void lazy_migrate(struct run *r, const char *tool)
{
	struct tool_call dumping = { .label = "dump-lazily" };
	char root[16];
	int status;

	own_network(r);
	start_program(r);
	remember_pids(r);
	snprintf(root, sizeof(root), "%d", r->root);
	r->dumps++;
	make_dirs(image_dir(r));
	const char *const options[] = { "-t", root, "--lazy-pages", "--port", PORT, NULL };
	pid_t giver = start_server(r, &dumping, "dump", options);
	if (unshare(CLONE_NEWPID))
		skip_case(r, "no PID namespace (%s)", strerror(errno));
	fflush(r->report);
	pid_t other = fork();
	if (!other) {
		/* The first process of a namespace cannot be one of the tree. */
		if (unshare(CLONE_NEWNS))
			_exit(1);
		_exit(migrate(r, tool));
	}
	if (waitpid(other, &status, 0) != other || status)
		fail_case(r, "the other side ended with status 0x%x", status);
	must_end_well(r, &dumping, giver);
	if (wait_gone(r, 20))
		fail_case(r, "the tree is still here");
	end_case(r, 0);
}

void way_lazy_migrate(struct run *r)
{
	lazy_migrate(r, NULL);
}

void way_lazy_migrate_peer(struct run *r)
{
	lazy_migrate(r, settings.peer);
}

/* Nobody comes, or who came is gone: the tree goes on here. */
void way_lazy_migrate_fails(struct run *r)
{
	struct lines before = { 0 };
	char root[16], names[1024];

	own_network(r);
	start_program(r);
	snapshot(r, &before);
	for (int i = 0; i < 2; i++) {
		struct tool_call dumping = { .label = i ? "dump-lazily-2" : "dump-lazily-1" };

		snprintf(root, sizeof(root), "%d", r->root);
		r->dumps++;
		make_dirs(image_dir(r));
		const char *const options[] = { "-t", root, "--lazy-pages", "--port", PORT, NULL };
		pid_t giver = start_server(r, &dumping, "dump", options);
		if (i) {
			struct tool_call serving = { .label = "lazy-pages" };
			pid_t pid = start_server(r, &serving, "lazy-pages", remote);

			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		} else {
			kill(giver, SIGINT);
		}
		if (!tool_wait(r, &dumping, giver))
			fail_case(r, "a dump that nobody took ended well");
		if (images_left(r, true, names, sizeof(names)) && strstr(names, "inventory"))
			fail_case(r, "a dump that nobody took left images:%s", names);
		expect_same(r, &before, "after a dump that nobody took");
	}
	finish_program(r);
}

/* The daemon starts another one, or has ended. */
static void kill_keeper(pid_t daemon)
{
	pid_t *children, old = 0;

	for (int i = 0; i < 1000; i++) {
		size_t n = children_of(daemon, &children);
		pid_t keeper = n ? children[0] : 0;
		siginfo_t end = { 0 };

		free(children);
		if (waitid(P_PID, daemon, &end, WEXITED | WNOHANG | WNOWAIT) || end.si_pid || (!keeper && !old))
			return;
		if (!old) {
			old = keeper;
			kill(old, SIGKILL);
		} else if (keeper && keeper != old) {
			return;
		}
		sleep_ms(5);
	}
}

/* A restore that fails, or is killed, at any point: nothing of it is left, and the daemon does not stay. */
void way_lazy_faults(struct run *r)
{
	static const char *const points[] = {
#define FAULT(action, name, where) #action "." #name,
#include "../../include/fault_points.def"
#undef FAULT
	};
	static const char *const modes[] = { "", ":kill", ":int" };
	struct lines before = { 0 };

	start_program(r);
	snapshot(r, &before);
	dump_ok(r, NULL, false);
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]) * 3; i++) {
		char fault[64];
		struct tool_call call = { .fault = fault, .extra = { "--lazy-pages" } };
		struct tool_call serving = { .label = "lazy-pages" };

		snprintf(fault, sizeof(fault), "%s%s", points[i / 3], modes[i % 3]);
		if (strncmp(fault, "restore.", 8))
			continue;
		pid_t pid = start_server(r, &serving, "lazy-pages", local);
		int status = restore(r, &call);

		if (status && !strstr(fault, "planned")) { /* it was never called by then */
			if (!tool_wait(r, &serving, pid))
				fail_case(r, "%s: the daemon of a restore that failed ended well", fault);
		} else if (status) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		} else { /* a signal that came too late, or a point that is not reached */
			must_end_well(r, &serving, pid);
			remember_pids(r);
			drop_program(r);
		}
		if (wait_gone(r, 20))
			fail_case(r, "%s: a task is left", fault);
		r->faults++;
	}
	struct tool_call serving = { .label = "lazy-pages" };
	pid_t pid = start_server(r, &serving, "lazy-pages", local);
	restore_lazily(r, NULL);
	must_end_well(r, &serving, pid);
	expect_same(r, &before, "after the restore");
	finish_program(r);
}

/* Whoever gives the pages is killed: the tree may be killed then, or have all of them, but never see a wrong one. */
void way_lazy_dies(struct run *r)
{
	r->may_be_killed = true;
	for (int i = 0; i < 16; i++) {
		struct tool_call serving = { .label = "lazy-pages" };

		start_program(r);
		dump_ok(r, NULL, false);
		pid_t pid = start_server(r, &serving, "lazy-pages", local);
		restore_lazily(r, NULL);
		remember_pids(r);
		sleep_ms(3 * (i % 8));
		if (i % 2)
			kill_keeper(pid);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (i >= 8)
			sleep_ms(100); /* what waits has been killed by now */
		reap(r);
		if (r->root_ended && WIFSIGNALED(r->root_status) && WTERMSIG(r->root_status) == SIGKILL) {
			if (wait_gone(r, 20))
				fail_case(r, "a part of the tree is left after the death of its memory");
			continue;
		}
		check_program(r);
	}
	end_case(r, 0);
}
