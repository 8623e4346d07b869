/* Dumps whose pages go to a page server over TCP, in a network namespace of their own. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORT "12345"

void own_network(struct run *r)
{
	struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };

	if (unshare(CLONE_NEWNET))
		skip_case(r, "no network namespace (%s)", strerror(errno));
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &loopback))
		skip_case(r, "no loopback in a network namespace (%s)", strerror(errno));
	close(fd);
}

pid_t start_server(struct run *r, struct tool_call *call, const char *action, const char *const *options)
{
	char fd[16], log[80], byte = 1;
	const char *argv[24] = { call->tool ?: settings.tool, action, "-D", image_dir(r), "-v4", "-o", log };
	size_t n = 7;
	int ready[2];

	snprintf(log, sizeof(log), "../%s.log", call->label);
	if (pipe(ready))
		fail_case(r, "pipe: %s", strerror(errno));
	/* All descriptors but this are closed in the tool. */
	call->keep_fd = dup2(ready[1], 100);
	snprintf(fd, sizeof(fd), "%d", call->keep_fd);
	argv[n++] = "--status-fd";
	argv[n++] = fd;
	for (; *options; options++)
		argv[n++] = *options;
	pid_t pid = tool_start(r, call, argv);
	close(ready[1]);
	close(call->keep_fd);
	ssize_t got = read(ready[0], &byte, 1);
	close(ready[0]);
	if (got != 1 || byte) {
		say_file(r, log, 5);
		fail_case(r, "%s %s is not ready", argv[0], action);
	}
	return pid;
}

/* None of the pages are here but those that the server has written. */
static void expect_pages(struct run *r, bool there)
{
	char pattern[PATH_MAX];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/pages-*.img", image_dir(r));
	bool are = !glob(pattern, 0, NULL, &found);
	globfree(&found);
	if (are != there)
		fail_case(r, "there are %spage images after the transfer", are ? "" : "no ");
}

static void transfer(struct run *r, const char *client, const char *server)
{
	static const char *const options[] = { "--port", PORT, "--address", "127.0.0.1", NULL };
	struct tool_call serving = { .tool = server, .label = "page-server" };
	struct tool_call dumping = { .tool = client,
				     .extra = { "--page-server", "--address", "127.0.0.1", "--port", PORT } };
	struct lines before = { 0 };

	own_network(r);
	start_program(r);
	if (!r->program->traits->busy && !settings.peer[0])
		snapshot(r, &before);
	remember_pids(r);
	r->dumps++; /* the server's directory is that of the dump */
	make_dirs(image_dir(r));
	pid_t pid = start_server(r, &serving, "page-server", options);
	r->dumps--;
	int status = dump(r, &dumping, false);
	int served = tool_wait(r, &serving, pid);
	if (status || served)
		fail_case(r, "the dump ended with %d, the page server with %d", status, served);
	if (wait_gone(r, 20))
		fail_case(r, "processes are still there after the dump");
	expect_pages(r, true);
	restore_ok(r, settings.peer[0] ? server : NULL);
	if (!r->program->traits->busy && !settings.peer[0])
		expect_same(r, &before, "after the restore");
	finish_program(r);
}

void way_page_server(struct run *r)
{
	transfer(r, NULL, NULL);
}

void way_pages_to_peer(struct run *r)
{
	transfer(r, settings.tool, settings.peer);
}

void way_pages_from_peer(struct run *r)
{
	transfer(r, settings.peer, settings.tool);
}

/* A server that dies: the dump fails, the tree goes on, and nothing that could be taken for images stays. */
void way_page_server_dies(struct run *r)
{
	static const char *const options[] = { "--port", PORT, NULL };
	char names[1024];
	struct lines before = { 0 };

	own_network(r);
	start_program(r);
	snapshot(r, &before);
	for (int i = 0; i < 12; i++) {
		struct tool_call serving = { .label = "page-server", .signal = SIGKILL, .signal_delay_us = i * 1500 };
		struct tool_call dumping = { .extra = { "--page-server", "--port", PORT } };

		r->dumps++;
		make_dirs(image_dir(r));
		pid_t pid = start_server(r, &serving, "page-server", options);
		r->dumps--;
		pid_t killer = fork();
		if (!killer) {
			sleep_ms(3 * i);
			kill(pid, SIGKILL);
			_exit(0);
		}
		/* Left running: a transfer that was complete before is as good. */
		int status = dump(r, &dumping, true);
		serving.signal = 0;
		int served = tool_wait(r, &serving, pid);
		if (status == 0 && served != 0 && served != 128 + SIGKILL)
			fail_case(r, "the server failed with %d, but the dump did not", served);
		if (status && images_left(r, true, names, sizeof(names)) && strstr(names, "inventory"))
			fail_case(r, "a dump that failed left images:%s", names);
		expect_same(r, &before, "after a dump whose page server died");
		reap(r);
	}
	finish_program(r);
}
