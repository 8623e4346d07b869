/*
 * The program: options, log, action, exit status. Under the name criu it is the same.
 *
 * The log file is made before anything is done, and whenever its name is known even if the options are wrong,
 * for those who drive ckpt open it without looking at the exit status.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "cmd.h"
#include "log.h"
#include "options.h"
#include "opts.h"

/* Opens the log. Returns 0 or -errno (logged). */
static int start_log(const struct opts *opts)
{
	const char *work_dir = opts->work_dir ?: opts->images_dir;
	_cleanup_close_ int dir = -1;

	if (opts->log_file && opts->log_file[0] != '/') {
		dir = open(work_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return log_errno(errno, "can't open the directory %s for the log", work_dir);
	}
	return log_init(dir < 0 ? AT_FDCWD : dir, opts->log_file, opts->verbosity);
}

static int run(const struct opts *opts)
{
	for (size_t i = 0; i < opts->close_count; i++)
		close(opts->close_fds[i]);
	switch (opts->action) {
	case ACTION_HELP:
		print_help();
		return 0;
	case ACTION_VERSION:
		print_version();
		return 0;
	case ACTION_DUMP:
		return cmd_dump(opts);
	case ACTION_PRE_DUMP:
		return cmd_pre_dump(opts);
	case ACTION_RESTORE:
		return cmd_restore(opts);
	case ACTION_EXPLAIN:
		return cmd_explain(opts);
	case ACTION_SHOW:
		return cmd_show(opts);
	case ACTION_VERIFY:
		return cmd_verify(opts);
	case ACTION_CPUINFO:
		return cmd_cpuinfo(opts);
	case ACTION_LAZY_PAGES:
		return cmd_lazy_pages(opts);
	case ACTION_PAGE_SERVER:
		return cmd_page_server(opts);
	case ACTION_DEDUP:
		return cmd_dedup(opts);
	default:
		return cmd_check(opts);
	}
}

int main(int argc, char **argv)
{
	_cleanup_opts_ struct opts opts;

	opts_init(&opts);
	log_init(AT_FDCWD, NULL, LOG_WARN);
	int err = opts_parse(&opts, argc, argv);
	int no_log = opts.action == ACTION_HELP || opts.action == ACTION_VERSION ? 0 : start_log(&opts);

	if (err && !no_log && opts.log_file && log_first_error())
		log_err("%s", log_first_error()); /* so far it went to stderr only */
	int status = err || no_log ? 1 : run(&opts);

	/* A restore that waits hands on the exit status of the root task: then nothing went wrong. */
	if (status && log_first_error() && opts.verbosity > 0)
		fprintf(stderr, "ckpt: %s\n", log_first_error());
	return status;
}
