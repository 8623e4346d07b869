/* What the command line, the configuration files and RPC requests ask for. */
#ifndef CKPT_OPTS_H
#define CKPT_OPTS_H

#include <stdbool.h>
#include <sys/types.h>

struct opts {
	pid_t tree;		/* root of the tree to dump or explain; 0: not given */
	const char *images_dir; /* "." by default */
	const char *work_dir;	/* logs, pid files and statistics; images_dir by default */
	const char *log_file;	/* in work_dir; NULL: stderr */
	int verbosity;		/* enum log_level */
	bool leave_running;
	bool leave_stopped;
	bool shell_job;
	bool restore_detached;
	bool restore_sibling;
	const char *pidfile;  /* in work_dir unless absolute */
	unsigned int timeout; /* seconds that freezing may take; 10 by default */
	bool display_stats;
	int status_fd; /* gets one zero byte when the program is ready; -1: none */
	bool json;
	const char *feature; /* ckpt check --feature */
	bool all;	     /* ckpt check --all */
	char **args;	     /* what follows the options: files of ckpt show; NULL-terminated */
};

#endif
