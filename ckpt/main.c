/* The command line (first version: only what the skeleton needs). */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "log.h"
#include "opts.h"

int main(int argc, char **argv)
{
	struct opts o = { .images_dir = ".", .verbosity = LOG_WARN, .timeout = 10, .status_fd = -1 };
	static const struct option longs[] = {
		{ "tree", 1, 0, 't' },
		{ "images-dir", 1, 0, 'D' },
		{ "work-dir", 1, 0, 'W' },
		{ "leave-running", 0, 0, 'R' },
		{ "leave-stopped", 0, 0, 's' },
		{ "shell-job", 0, 0, 'j' },
		{ "log-file", 1, 0, 'o' },
		{ "verbosity", 2, 0, 'v' },
		{ "restore-detached", 0, 0, 'd' },
		{ "restore-sibling", 0, 0, 'S' },
		{ "pidfile", 1, 0, 'p' },
		{ "display-stats", 0, 0, 'x' },
		{ "json", 0, 0, 'J' },
		{ 0 },
	};
	int c;
	while ((c = getopt_long(argc, argv, "t:D:W:Rsjo:v::dSp:xJ", longs, NULL)) != -1) {
		switch (c) {
		case 't':
			o.tree = atoi(optarg);
			break;
		case 'D':
			o.images_dir = optarg;
			break;
		case 'W':
			o.work_dir = optarg;
			break;
		case 'R':
			o.leave_running = true;
			break;
		case 's':
			o.leave_stopped = true;
			break;
		case 'j':
			o.shell_job = true;
			break;
		case 'o':
			o.log_file = optarg;
			break;
		case 'v':
			o.verbosity = optarg ? atoi(optarg) : o.verbosity + 1;
			break;
		case 'd':
			o.restore_detached = true;
			break;
		case 'S':
			o.restore_sibling = true;
			break;
		case 'p':
			o.pidfile = optarg;
			break;
		case 'J':
			o.json = true;
			break;
		}
	}
	if (optind >= argc)
		return 1;
	o.args = argv + optind + 1;
	const char *action = argv[optind];
	if (o.args[0] && !o.tree)
		o.tree = atoi(o.args[0]);
	log_init(-100, o.log_file, o.verbosity);
	int ret = 1;
	if (!strcmp(action, "dump"))
		ret = cmd_dump(&o);
	else if (!strcmp(action, "restore"))
		ret = cmd_restore(&o);
	else if (!strcmp(action, "explain"))
		ret = cmd_explain(&o);
	else if (!strcmp(action, "show"))
		ret = cmd_show(&o);
	else if (!strcmp(action, "check"))
		ret = cmd_check(&o);
	if (ret && log_first_error())
		fprintf(stderr, "ckpt: %s\n", log_first_error());
	return ret;
}
