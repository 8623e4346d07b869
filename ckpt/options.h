/* The table of options and actions (options_table.def): used by the parser, --help and the tests. */
#ifndef CKPT_OPTIONS_H
#define CKPT_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "opts.h"

enum option_arg {
	ARG_NONE,
	ARG_REQUIRED,
	ARG_OPTIONAL, /* only as --option=value */
};

enum option_type {
	TYPE_FLAG, /* bool */
	TYPE_STRING, /* const char * */
	TYPE_UINT, /* unsigned int */
	TYPE_SIZE, /* uint64_t, bytes; K, M or G may follow */
	TYPE_PID, /* pid_t, above 0 */
	TYPE_FD, /* int, not below 0 */
	TYPE_VERBOSITY,
	TYPE_CPU_CAP,
	TYPE_PACKING, /* --compress */
	TYPE_PROGRESS, /* --progress: as text, or json */
	TYPE_CLOSE,
	TYPE_IRMAP_PATH,
	TYPE_VALIDATION, /* --file-validation */
	TYPE_BPF, /* --bpf */
	TYPE_EXT_UNIX, /* --ext-unix-sk: numbers of inodes, or none for all */
	TYPE_EXTERNAL, /* --external KEY: struct outside */
	TYPE_INHERIT_FD, /* --inherit-fd fd[N]:KEY */
	TYPE_ACTION, /* --help, --version */
	TYPE_NOOP, /* accepted: ignoring it loses nothing that was asked for */
	TYPE_LATER, /* an option of CRIU that is not supported yet */
};

/* Bits of option_def.actions, for --help and the completion. */
enum {
	FOR_DUMP = 1,
	FOR_RESTORE = 2,
	FOR_CHECK = 4,
	FOR_SHOW = 8,
	FOR_EXPLAIN = 16,
	FOR_OTHERS = 32, /* only actions that are not supported yet */
	FOR_CPUINFO = 64,
	FOR_TREES = FOR_DUMP | FOR_RESTORE,
	FOR_DEDUP = 128,
	FOR_PAGE_SERVER = 256,
	FOR_PRE_DUMP = 512,
	FOR_DUMPS = FOR_DUMP | FOR_PRE_DUMP,
	FOR_LAZY_PAGES = 1024,
	FOR_VERIFY = 2048,
	FOR_ALL = 4095,
};

struct option_def {
	const char *name;
	int letter; /* 0: none */
	enum option_arg arg;
	const char *value; /* what to call it; the legal values of a NOOP, "a|b" */
	const char *later; /* values of a NOOP that are not supported yet, "a|b"; NULL: none */
	unsigned int actions;
	bool negatable; /* --no-NAME exists */
	enum option_type type;
	size_t offset; /* in struct opts */
	const char *what;
};

extern const struct option_def option_defs[];
extern const size_t option_count;

struct action_def {
	const char *name;
	enum action action;
	const char *args; /* "PID" */
	const char *what;
};

extern const struct action_def action_defs[];
extern const size_t action_count;

/* The known option whose name is nearest to what the user wrote, or NULL when none is near. */
const struct option_def *option_nearest(const char *name);

/*
 * Reads arguments (argv[0] is skipped) that came from a place: "" for the command line, "FILE:LINE: " for
 * a configuration file, which may not hold actions nor --config. Returns 0 or -errno (all errors logged).
 */
int options_read(struct opts *opts, const char *place, int argc, char **argv);

/*
 * Reads a configuration file: an option a line, without dashes, "name value" or "name=value"; # comments;
 * "quoted values", in which \" stands for a quote. Returns 0, -ENOENT or -EACCES (not logged) or another -errno
 * (logged).
 */
int config_read(struct opts *opts, const char *path);

/* Keeps a copy of the text as long as opts lives. Returns NULL without memory. */
char *opts_own(struct opts *opts, const char *text);

void print_help(void);
void print_version(void);

#endif
