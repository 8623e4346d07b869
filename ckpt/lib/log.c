/*
 * The logger. Writes whole lines with one write(2) each, so that the lines of several processes do not mix.
 * Who forks first has log_share() put the first error into shared memory: a restore logs from all that it makes.
 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static struct {
	int fd;
	enum log_level level;
	struct timespec start;
	bool muted;
	bool clears; /* a line of progress stands on stderr */
	char *first_error; /* shared by all processes, or own_error */
} logger = { .fd = STDERR_FILENO, .level = LOG_WARN };

#define FIRST_ERROR_SIZE 4096
static char own_error[FIRST_ERROR_SIZE];

void log_share(void)
{
	void *shared = MAP_FAILED;

	if (logger.first_error == own_error)
		shared = mmap(NULL, FIRST_ERROR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return;
	memcpy(shared, own_error, FIRST_ERROR_SIZE);
	logger.first_error = shared;
}

int log_init(int dir_fd, const char *path, enum log_level level)
{
	if (!logger.first_error) {
		logger.first_error = own_error;
		clock_gettime(CLOCK_MONOTONIC, &logger.start);
	}
	logger.level = level;
	if (!path) {
		logger.fd = STDERR_FILENO;
		return 0;
	}
	int fd = openat(dir_fd, path, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return log_errno(errno, "can't create the log file %s", path);
	logger.fd = fd;
	return 0;
}

static int add_time(char *line, size_t size)
{
	struct timespec now;

	if (logger.level < LOG_INFO)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	long us = (now.tv_sec - logger.start.tv_sec) * 1000000 + (now.tv_nsec - logger.start.tv_nsec) / 1000;
	return snprintf(line, size, "(%02ld.%06ld) ", us / 1000000, us % 1000000);
}

void log_print(enum log_level level, const char *where, const char *fmt, ...)
{
	char line[4096];
	int saved_errno = errno;
	bool is_error = level == LOG_ERR;

	if (logger.muted || (level > logger.level && !is_error))
		return;
	int n = logger.clears && logger.fd == STDERR_FILENO ? snprintf(line, sizeof(line), "\r\033[K") : 0;
	n += add_time(line + n, sizeof(line) - n);
	if (is_error)
		n += snprintf(line + n, sizeof(line) - n, "Error (%s): ", where);
	else if (level == LOG_WARN)
		n += snprintf(line + n, sizeof(line) - n, "Warn  (%s): ", where);
	int text = n;
	va_list args;
	va_start(args, fmt);
	n += vsnprintf(line + n, sizeof(line) - n - 1, fmt, args);
	va_end(args);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	if (is_error && logger.first_error && !logger.first_error[0])
		snprintf(logger.first_error, FIRST_ERROR_SIZE, "%.*s", n - text, line + text);
	if (line[n - 1] != '\n')
		line[n++] = '\n';
	if (level <= logger.level) {
		ssize_t ignored = write(logger.fd, line, n); /* there is nowhere left to complain */

		(void)ignored;
	}
	errno = saved_errno;
}

const char *log_first_error(void)
{
	return logger.first_error && logger.first_error[0] ? logger.first_error : NULL;
}

void log_forget_error(void)
{
	if (logger.first_error)
		logger.first_error[0] = 0;
}

void log_mute(bool muted)
{
	logger.muted = muted;
}

void log_clears_line(bool clears)
{
	logger.clears = clears;
}

int log_fd(void)
{
	return logger.fd;
}

void log_set_fd(int fd)
{
	logger.fd = fd;
}
