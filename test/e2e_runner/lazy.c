/* Restores whose memory comes late, from images or from a page server. */
#include "runner.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
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
