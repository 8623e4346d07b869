/* Calls of the checkpointer under test. All its words go to files of the case. */
#include "runner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GONE_TIMEOUT 20 /* seconds; only against hangs */

pid_t tool_start(struct run *r, const struct tool_call *call, const char *const *argv)
{
	char out[PATH_MAX];

	snprintf(out, sizeof(out), "%s/%s.out", r->dir, call->label);
	fflush(r->report);
	pid_t pid = fork();
	if (pid)
		return pid;
	/* A shell job gets the terminal of who restores it. */
	int in = r->terminal >= 0 ? r->tty : open("/dev/null", O_RDONLY);
	int log = open(out, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	dup2(in, 0);
	dup2(log, 1);
	dup2(log, 2);
	if (call->keep_fd) {
		dup2(call->keep_fd, 3);
		closefrom(4);
		dup2(3, call->keep_fd);
		close(3);
	} else {
		closefrom(3);
	}
	if (r->program->traits->files) {
		struct rlimit files = { r->program->traits->files, r->program->traits->files };

		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (call->fault)
		setenv("CKPT_FAULT", call->fault, 1);
	execv(argv[0], (char *const *)argv);
	_exit(127);
}

int tool_wait(struct run *r, struct tool_call *call, pid_t pid)
{
	double start = now(), last_signal = start + call->signal_delay_us / 1e6;
	bool signalled = !call->signal;
	int status;

	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			break;
		if (!signalled && now() >= last_signal) {
			kill(pid, call->signal);
			signalled = true;
		}
		if (now() - start > TOOL_TIMEOUT)
			fail_case(r, "%s hangs: no end after %d s", call->label, TOOL_TIMEOUT);
		nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
	}
	call->seconds = now() - start;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

const char *image_dir(struct run *r)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/img-%u", r->dir, r->dumps);
	return path;
}

static size_t add_options(struct run *r, const struct tool_call *call, const char **argv, size_t n)
{
	if (r->program->traits->shell_job)
		argv[n++] = "--shell-job";
	if (r->program->traits->option)
		argv[n++] = r->program->traits->option;
	for (size_t i = 0; i < 8 && call->extra[i]; i++)
		argv[n++] = call->extra[i];
	argv[n] = NULL;
	return n;
}

int dump(struct run *r, struct tool_call *call, bool leave_running)
{
	char label[64], log[80], root[16], previous[64];
	const char *argv[24];
	size_t n = 0;

	r->dumps++;
	make_dirs(image_dir(r));
	snprintf(label, sizeof(label), "dump-%u", r->dumps);
	snprintf(log, sizeof(log), "../%s.log", label);
	snprintf(root, sizeof(root), "%d", r->root);
	if (!call->label)
		call->label = label;
	const char *first[] = { call->tool ? call->tool : settings.tool,
				r->pre_dump ? "pre-dump" : "dump",
				"-t",
				root,
				"-D",
				image_dir(r),
				"-o",
				log,
				"-v4" };
	for (; n < sizeof(first) / sizeof(first[0]); n++)
		argv[n] = first[n];
	if (leave_running)
		argv[n++] = "-R";
	if (r->chain_begin)
		argv[n++] = "--track-mem";
	snprintf(previous, sizeof(previous), "--prev-images-dir=../img-%u", r->dumps - 1);
	if (r->chain_begin && r->dumps > r->chain_begin)
		argv[n++] = previous;
	if (r->live && !settings.is_criu)
		argv[n++] = "--precopy-rounds=3";
	if (r->bpf && !settings.is_criu)
		argv[n++] = "--bpf=always";
	add_options(r, call, argv, n);
	int status = tool_wait(r, call, tool_start(r, call, argv));
	call->label = NULL;
	return status;
}

int restore(struct run *r, struct tool_call *call)
{
	char label[64], log[80];
	const char *argv[24];
	size_t n = 0;

	r->restores++;
	snprintf(label, sizeof(label), "restore-%u", r->restores);
	snprintf(log, sizeof(log), "../%s.log", label);
	call->label = label;
	const char *first[] = {
		call->tool ? call->tool : settings.tool, "restore", "-d", "-D", image_dir(r), "-o", log, "-v4"
	};
	for (; n < sizeof(first) / sizeof(first[0]); n++)
		argv[n] = first[n];
	add_options(r, call, argv, n);
	r->root_ended = false;
	int status = tool_wait(r, call, tool_start(r, call, argv));
	call->label = NULL;
	return status;
}

/* The lines of a log that tell why. */
static void say_errors(struct run *r, const char *action, unsigned int number)
{
	int told = 0;

	for (int i = 0; i < 2; i++) {
		char *text = read_text("%s/%s-%u.%s", r->dir, action, number, i ? "out" : "log");

		for (char *line = text ? strtok(text, "\n") : NULL; line && told < 12; line = strtok(NULL, "\n"))
			if (i || strstr(line, "Error")) {
				say(r, "    %s", line);
				told++;
			}
		free(text);
	}
}

void dump_ok(struct run *r, const char *tool, bool leave_running)
{
	struct tool_call call = { .tool = tool };

	reap(r);
	if (r->root_ended)
		fail_case(r, "the program came to its end before dump %u: it must work longer", r->dumps + 1);
	remember_pids(r);
	int status = dump(r, &call, leave_running);
	if (status) {
		say_errors(r, "dump", r->dumps);
		fail_case(r, "dump %u ended with %d", r->dumps, status);
	}
	if (leave_running)
		return;
	size_t alive = wait_gone(r, GONE_TIMEOUT);
	if (alive)
		fail_case(r, "%zu processes are still there after dump %u", alive, r->dumps);
}

void restore_ok(struct run *r, const char *tool)
{
	struct tool_call call = { .tool = tool };
	int status = restore(r, &call);

	if (status) {
		say_errors(r, "restore", r->restores);
		fail_case(r, "restore %u ended with %d", r->restores, status);
	}
	for (size_t i = 0; i < r->n_pids && !r->program->traits->busy; i++)
		if (!process_exists(r->pids[i]) && !r->root_ended)
			fail_case(r, "process %d is not there after restore %u", r->pids[i], r->restores);
}

void list_images(struct run *r, struct lines *lines)
{
	DIR *dir = opendir(image_dir(r));
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		char path[PATH_MAX];
		struct stat st = { 0 };

		snprintf(path, sizeof(path), "%s/%s", image_dir(r), d->d_name);
		stat(path, &st);
		if (S_ISREG(st.st_mode) && strcmp(d->d_name, "stats-restore"))
			add_line(lines, "%s, %ld bytes", d->d_name, (long)st.st_size);
	}
	if (dir)
		closedir(dir);
}

/* An image is what ends in .img, or a directory of unfinished ones. */
bool images_left(struct run *r, bool partial_allowed, char *names, size_t size)
{
	DIR *dir = opendir(image_dir(r));
	struct dirent *d;
	bool left = false;

	names[0] = 0;
	while (dir && (d = readdir(dir))) {
		size_t len = strlen(d->d_name), used = strlen(names);
		bool image = len > 4 && !strcmp(d->d_name + len - 4, ".img");

		if (!strcmp(d->d_name, ".") || !strcmp(d->d_name, ".."))
			continue;
		if (!strcmp(d->d_name, ".ckpt-partial") && partial_allowed)
			continue;
		if (!image && strcmp(d->d_name, ".ckpt-partial") && strncmp(d->d_name, "stats-", 6))
			continue;
		left = true;
		snprintf(names + used, size - used, " %s", d->d_name);
	}
	if (dir)
		closedir(dir);
	return left;
}
