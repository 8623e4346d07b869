/*
 * The logger: the one mutable global of the program.
 *
 * The function that knows the cause of a failure logs it once, with what was tried, on what (pid, fd,
 * path, address) and errno, and returns -errno; its callers only pass the number on. The first error is
 * kept, and main() prints it as the last line that the user sees.
 */
#ifndef CKPT_LOG_H
#define CKPT_LOG_H

#include <stdbool.h>
#include <string.h>

/* CRIU's levels, as -v counts them. */
enum log_level {
	LOG_MSG = 0, /* always shown */
	LOG_ERR = 1,
	LOG_WARN = 2, /* the default */
	LOG_INFO = 3,
	LOG_DEBUG = 4,
};

/*
 * Sends messages up to the level to the file (created or emptied), or to stderr when path is NULL.
 * Relative paths count from dir_fd. May be called again; the first error stays. Returns 0 or -errno (logged).
 */
int log_init(int dir_fd, const char *path, enum log_level level);

/* Errors are logged as "Error (where): text", warnings as "Warn  (where): text". */
void log_print(enum log_level level, const char *where, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* From now on the first error of any process that is forked is that of all. Call it after log_init. */
void log_share(void);
/* The first error of this process, and after log_share() of those that it forked since, or NULL. Owned by the logger.
 */
const char *log_first_error(void);
/* For tests, which fail more than once. */
void log_forget_error(void);
/* While muted, nothing is written nor remembered. */
void log_mute(bool muted);

/* Whether a line without an end stands on stderr, which the next message there takes the place of. */
void log_clears_line(bool clears);

/* The descriptor that messages go to; for processes that must keep it open. */
int log_fd(void);
/* Sends messages to another descriptor, which must stay open: for processes that give away theirs. */
void log_set_fd(int fd);

#define LOG_STR_(x) #x
#define LOG_STR(x) LOG_STR_(x)
#define LOG_WHERE __FILE__ ":" LOG_STR(__LINE__)

#define log_err(...) log_print(LOG_ERR, LOG_WHERE, __VA_ARGS__)
#define log_warn(...) log_print(LOG_WARN, LOG_WHERE, __VA_ARGS__)
#define log_info(...) log_print(LOG_INFO, LOG_WHERE, __VA_ARGS__)
#define log_debug(...) log_print(LOG_DEBUG, LOG_WHERE, __VA_ARGS__)

/* Logs an error that ends in ": strerror(err)" and yields -err. err is positive. */
#define log_errno(err, fmt, ...)                                                                                       \
	({                                                                                                             \
		int _err = (err);                                                                                      \
		log_print(LOG_ERR, LOG_WHERE, fmt ": %s", ##__VA_ARGS__, strerror(_err));                              \
		-_err;                                                                                                 \
	})

#endif
