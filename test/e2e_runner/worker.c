/* One case: its files, its program, its report. */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_TIMEOUT 60 /* seconds; only against hangs */

void say(struct run *r, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(r->report, fmt, args);
	va_end(args);
	fputc('\n', r->report);
}

void end_case(struct run *r, int status)
{
	if (r->faults)
		say(r, "@faults %u", r->faults);
	fclose(r->report);
	kill_descendants(0);
	_exit(status);
}

void fail_case(struct run *r, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vfprintf(r->report, fmt, args);
	va_end(args);
	fputc('\n', r->report);
	end_case(r, 1);
}

void skip_case(struct run *r, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fprintf(r->report, "@skip ");
	vfprintf(r->report, fmt, args);
	va_end(args);
	fputc('\n', r->report);
	end_case(r, SKIPPED);
}

void say_file(struct run *r, const char *path, int lines)
{
	char *text = read_text("%s", path);
	size_t len = text ? strlen(text) : 0;

	if (len) {
		char *at = text + len;

		for (int n = 0; at > text; at--)
			if (at[-1] == '\n' && at < text + len && ++n == lines)
				break;
		say(r, "the end of %s:", path);
		for (char *line = strtok(at, "\n"); line; line = strtok(NULL, "\n"))
			say(r, "    %s", line);
	}
	free(text);
}

/* Words of the program itself: its verdict stands there. */
static void say_program(struct run *r)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/out", r->dir);
	say_file(r, path, 12);
}

/*
 * A terminal as a shell has it: ours is the session, the program is its foreground job. The tool is started in the
 * same session, as somebody would do from another job of the shell.
 */
static void open_terminal(struct run *r)
{
	if (r->terminal >= 0)
		return;
	r->terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (r->terminal < 0 || grantpt(r->terminal) || unlockpt(r->terminal))
		fail_case(r, "no terminal: %s", strerror(errno));
	int tty = open(ptsname(r->terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	signal(SIGHUP, SIG_IGN);
	signal(SIGTTOU, SIG_IGN);
	if (tty < 0 || ioctl(tty, TIOCSCTTY, 0))
		fail_case(r, "no session with a terminal: %s", strerror(errno));
	r->tty = tty;
}

static void exec_program(struct run *r)
{
	char out[PATH_MAX];

	snprintf(out, sizeof(out), "%s/out", r->dir);
	int in = r->terminal >= 0 ? r->tty : open("/dev/null", O_RDONLY);
	int log = open(out, O_CREAT | O_WRONLY | O_APPEND, 0644);
	if (in < 0 || log < 0 || chdir(r->work))
		_exit(2);
	if (r->terminal < 0)
		setsid();
	else if (setpgid(0, 0) || tcsetpgrp(r->tty, getpid()))
		_exit(2);
	dup2(in, 0);
	dup2(log, 1);
	dup2(log, 2);
	closefrom(3);
	umask(022);
	signal(SIGHUP, SIG_DFL);
	signal(SIGTTOU, SIG_DFL);
	if (r->program->script)
		execl("/bin/bash", "bash", r->program->path, "run", r->work, NULL);
	else
		execl(r->program->path, r->program->name, r->work, NULL);
	_exit(2);
}

/* Asks a real_*.sh: "ready" (in the middle of its work?) or "check" (is the result right?). */
static bool script_says(struct run *r, const char *word)
{
	char out[PATH_MAX];
	int status;

	snprintf(out, sizeof(out), "%s/out", r->dir);
	pid_t pid = fork();
	if (pid == 0) {
		int log = open(out, O_CREAT | O_WRONLY | O_APPEND, 0644);

		dup2(log, 1);
		dup2(log, 2);
		if (chdir(r->work) == 0)
			execl("/bin/bash", "bash", r->program->path, word, r->work, NULL);
		_exit(2);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool is_ready(struct run *r)
{
	char path[PATH_MAX];

	if (r->program->script)
		return script_says(r, "ready");
	snprintf(path, sizeof(path), "%s/ready", r->work);
	return access(path, F_OK) == 0;
}

/* Without a verdict of success, ends the case. */
static void judge_end(struct run *r, const char *when)
{
	int status = r->root_status;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (r->may_be_killed && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return;
	say_program(r);
	if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED) {
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/out", r->dir);
		char *text = read_text("%s", path), *word = text ? strstr(text, "skip: ") : NULL;
		char *reason = word ? strstr(word, "pid ") : NULL;
		reason = reason && strstr(reason, ": ") ? strstr(reason, ": ") + 2 : word;
		skip_case(r, "%.*s", reason ? (int)strcspn(reason, "\n") : 0, reason ? reason : "");
	}
	if (WIFEXITED(status))
		fail_case(r, "the program ended with %d %s", WEXITSTATUS(status), when);
	fail_case(r, "the program was killed by signal %d %s", WTERMSIG(status), when);
}

void start_program(struct run *r)
{
	double end = now() + READY_TIMEOUT;

	if (r->program->traits->shell_job)
		open_terminal(r);
	remove_tree(r->work);
	make_dirs(r->work);
	r->root_ended = false;
	fflush(r->report);
	r->root = fork();
	if (r->root == 0)
		exec_program(r);
	while (!is_ready(r)) {
		reap(r);
		if (r->root_ended) {
			judge_end(r, "before it was ready");
			fail_case(r, "the program ended before it was ready");
		}
		if (now() > end) {
			say_program(r);
			fail_case(r, "the program was not ready after %d s", READY_TIMEOUT);
		}
		sleep_ms(r->program->script ? 10 : 2);
	}
	remember_pids(r);
}

void check_program(struct run *r)
{
	double end = now() + READY_TIMEOUT;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/check", r->work);
	close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	for (reap(r); !r->root_ended; reap(r)) {
		if (now() > end) {
			say_program(r);
			fail_case(r, "the program did not end within %d s (state %c)", READY_TIMEOUT,
				  process_state(r->root));
		}
		sleep_ms(2);
	}
	judge_end(r, "when it checked itself");
	if (r->program->script && !script_says(r, "check")) {
		say_program(r);
		fail_case(r, "the result of the program is wrong");
	}
	kill_descendants(0);
}

void finish_program(struct run *r)
{
	check_program(r);
	end_case(r, 0);
}

void drop_program(struct run *r)
{
	pid_t *pids;
	size_t n = tree_of(getpid(), &pids);

	/* nobody shall see the end of another one, and say so */
	for (size_t i = 1; i < n; i++)
		kill(pids[i], SIGSTOP);
	free(pids);
	kill_descendants(0);
	r->root_ended = true;
}

void remember_pids(struct run *r)
{
	free(r->pids);
	r->n_pids = tree_of(r->root, &r->pids);
}

size_t wait_gone(struct run *r, double seconds)
{
	double end = now() + seconds;
	size_t alive;

	do {
		reap(r);
		alive = 0;
		for (size_t i = 0; i < r->n_pids; i++)
			alive += process_exists(r->pids[i]);
		if (!alive)
			return 0;
		sleep_ms(1);
	} while (now() < end);
	return alive;
}
