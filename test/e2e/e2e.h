/*
 * What every e2e program shares: how it says that it is ready, how it learns that it shall check itself,
 * and how it tells what differs.
 *
 * A program is started with one argument, its working directory, which is also its current directory. It
 * sets up its state and calls e2e_wait(), which creates the file "ready" there (the first thread of the first process
 * only) and returns when the file "check" exists. Between the two the tree may be dumped and restored any number of
 * times. The waiting is a poll with short sleeps whose result is ignored, so that it works even where the
 * tool under test cannot restart a system call.
 *
 * The program then checks its own state completely and ends with 0, with 1 (fail, after a line that says what
 * differs) or with 77 (skip, after a line that says why).
 */
#ifndef E2E_H
#define E2E_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define E2E_PAGE 4096ul
#define E2E_UNUSED __attribute__((unused))

static char e2e_dir[PATH_MAX - 64];
static pid_t e2e_first; /* the thread that says ready for the whole tree */

static void E2E_UNUSED e2e_say(const char *word, const char *file, int line, const char *fmt, va_list args)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "%s: %s:%d: pid %d: ", word, file, line, getpid());

	n += vsnprintf(text + n, sizeof(text) - n - 1, fmt, args);
	if (n > (int)sizeof(text) - 2)
		n = sizeof(text) - 2;
	text[n++] = '\n';
	ssize_t ignored = write(STDERR_FILENO, text, n);

	(void)ignored;
}

static void E2E_UNUSED __attribute__((noreturn, format(printf, 4, 5)))
e2e_end(int status, const char *file, int line, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	e2e_say(status == 77 ? "skip" : "FAIL", file, line, fmt, args);
	va_end(args);
	_exit(status);
}

/* The state differs: says how and ends the process. */
#define fail(...) e2e_end(1, __FILE__, __LINE__, __VA_ARGS__)
/* The machine or the kernel lacks what the program needs. */
#define skip(...) e2e_end(77, __FILE__, __LINE__, __VA_ARGS__)
#define must(cond)                                                                                                     \
	do {                                                                                                           \
		if (!(cond))                                                                                           \
			fail("not so: %s (%s)", #cond, strerror(errno));                                               \
	} while (0)
#define same(now, before)                                                                                              \
	do {                                                                                                           \
		long long _now = (long long)(now), _before = (long long)(before);                                      \
		if (_now != _before)                                                                                   \
			fail("%s is %lld (%#llx), not %lld (%#llx)", #now, _now, _now, _before, _before);              \
	} while (0)

static void E2E_UNUSED e2e_begin(int argc, char **argv)
{
	if (argc != 2 || !realpath(argv[1], e2e_dir)) {
		fprintf(stderr, "usage: %s WORKING-DIRECTORY\n", argv[0]);
		exit(2);
	}
	e2e_first = getpid();
}

/* The path of a file in the working directory; a few results stay valid at a time. */
static const char E2E_UNUSED *e2e_path(const char *name)
{
	static __thread char paths[4][PATH_MAX];
	static __thread unsigned int turn;
	char *path = paths[turn++ % 4];

	snprintf(path, PATH_MAX, "%s/%s", e2e_dir, name);
	return path;
}

static void E2E_UNUSED e2e_touch(const char *name)
{
	int fd = open(e2e_path(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

	if (fd < 0)
		fail("can't create %s: %s", name, strerror(errno));
	close(fd);
}

static void E2E_UNUSED e2e_sleep_ms(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&t, NULL);
}

static bool E2E_UNUSED e2e_time_to_check(void)
{
	/*
	 * By its short name for a task that may not pass the directories above any more; only where "ready" is too,
	 * since the program may stand in another directory, such as / of a machine that has a /check.
	 */
	return access(e2e_path("check"), F_OK) == 0 || (access("ready", F_OK) == 0 && access("check", F_OK) == 0);
}

static void E2E_UNUSED e2e_ready(void)
{
	if (gettid() != e2e_first)
		return;
	/* It appears when the descriptor that made it is closed: the runner takes its picture of us at once. */
	e2e_touch("almost-ready");
	must(!rename(e2e_path("almost-ready"), e2e_path("ready")));
}

static void E2E_UNUSED e2e_wait(void)
{
	e2e_ready();
	while (!e2e_time_to_check())
		e2e_sleep_ms(3);
}

static int e2e_child_pipe = -1;

/* Called by a child when its state is set up. */
static void E2E_UNUSED e2e_child_ready(void)
{
	close(e2e_child_pipe);
	e2e_child_pipe = -1;
}

/* Forks a child that runs the function, and waits until the child says that it is ready or ends. */
static pid_t E2E_UNUSED e2e_fork(void (*run)(void *), void *arg)
{
	int p[2];
	char c;

	must(pipe2(p, O_CLOEXEC) == 0);
	pid_t pid = fork();
	must(pid >= 0);
	if (pid == 0) {
		close(p[0]);
		if (e2e_child_pipe >= 0) /* who forked us is a child, too: its pipe is not ours */
			close(e2e_child_pipe);
		e2e_child_pipe = p[1];
		run(arg);
		_exit(0);
	}
	close(p[1]);
	while (read(p[0], &c, 1) < 0 && errno == EINTR)
		;
	close(p[0]);
	return pid;
}

/* Waits for a child that checked itself and passes its verdict on. */
static void E2E_UNUSED e2e_join(pid_t pid)
{
	int status;
	pid_t got;

	while ((got = waitpid(pid, &status, 0)) < 0 && errno == EINTR)
		;
	if (got != pid)
		fail("waiting for child %d: %s", pid, strerror(errno));
	if (WIFSIGNALED(status))
		fail("child %d was killed by signal %d", pid, WTERMSIG(status));
	if (WEXITSTATUS(status) == 77)
		_exit(77);
	if (WEXITSTATUS(status))
		fail("child %d found a difference", pid);
}

/* Bytes that differ from place to place, to recognise content. */
static void E2E_UNUSED e2e_fill(void *at, size_t len, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;
	uint8_t *p = at;

	for (size_t i = 0; i < len; i += 8) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		memcpy(p + i, &x, len - i < 8 ? len - i : 8);
	}
}

static void E2E_UNUSED e2e_verify(const void *at, size_t len, uint64_t seed, const char *what)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ull + 1;
	const uint8_t *p = at;

	for (size_t i = 0; i < len; i += 8) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		if (memcmp(p + i, &x, len - i < 8 ? len - i : 8))
			fail("%s: other content at offset %#zx (address %p)", what, i, (const void *)(p + i));
	}
}

/* Runs as long as the heavy sizes are asked for (make test FULL=1). */
static bool E2E_UNUSED e2e_full(void)
{
	const char *full = getenv("FULL");

	return full && *full && strcmp(full, "0");
}

/*
 * For programs whose tree must be refused: adds a line of words to the file "expect". The dump must say a
 * line that holds all of them.
 */
static void E2E_UNUSED __attribute__((format(printf, 1, 2))) e2e_expect(const char *fmt, ...)
{
	FILE *f = fopen(e2e_path("expect"), "ae");
	va_list args;

	must(f);
	va_start(args, fmt);
	vfprintf(f, fmt, args);
	va_end(args);
	fputc('\n', f);
	fclose(f);
}

#endif
