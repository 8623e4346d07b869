/*
 * What the command line and the configuration files ask for (later: RPC requests too).
 *
 * opts_parse() reads, in this order, so that the later wins: /etc/criu/default.conf, $HOME/.criu/default.conf,
 * the file named by $CRIU_CONFIG_FILE, the file of --config, the command line.
 */
#ifndef CKPT_OPTS_H
#define CKPT_OPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum action {
	ACTION_NONE,
	ACTION_HELP, /* --help */
	ACTION_VERSION, /* --version */
	ACTION_DUMP,
	ACTION_PRE_DUMP,
	ACTION_RESTORE,
	ACTION_EXPLAIN,
	ACTION_SHOW,
	ACTION_CHECK,
	ACTION_CPUINFO,
	ACTION_DEDUP,
	ACTION_PAGE_SERVER,
	ACTION_LAZY_PAGES,
	ACTION_VERIFY,
	ACTION_LATER, /* an action of CRIU that is not supported yet: always an error */
};

enum progress_mode {
	PROGRESS_AUTO, /* when stderr is a terminal */
	PROGRESS_TEXT,
	PROGRESS_JSON,
	PROGRESS_OFF,
};

#define IRMAP_PATHS 16

/* All strings are owned by argv or by the struct (opts_free). */
/* Something that comes from outside of the tree. */
struct outside {
	const char *key; /* "tty[8800:1a]" */
	int fd; /* of --inherit-fd; -1: it was named by --external */
};

/* Whether the kernel is asked by BPF iterators: as --bpf names them, in that order. */
enum bpf_use { BPF_AUTO, BPF_ALWAYS, BPF_NEVER };

struct opts {
	enum action action;
	const char *action_name; /* as the user wrote it; NULL: none */
	pid_t tree; /* root of the tree to dump or explain; 0: not given */
	const char *images_dir; /* "." by default */
	const char *work_dir; /* logs, pid files and statistics; images_dir by default */
	const char *log_file; /* in work_dir unless absolute; NULL: stderr */
	int verbosity; /* enum log_level, but 0 is "no output" */
	bool leave_running; /* never together with leave_stopped: the later wins */
	bool leave_stopped;
	bool shell_job;
	bool file_locks;
	bool link_remap;
	bool allow_grown;
	bool by_size_only; /* files are not told by build-ids, --file-validation filesize */
	bool skip_file_rwx_check;
	bool evasive_devices;
	bool force_irmap;
	const char *irmap_paths[IRMAP_PATHS];
	size_t irmap_path_count;
	bool restore_detached;
	bool restore_sibling;
	const char *pidfile; /* in work_dir unless absolute; a dump ignores it */
	unsigned int timeout; /* seconds that freezing may take; 10 by default, and for 0 */
	uint64_t ghost_limit; /* bytes that a deleted file may have in the images; 1 MiB by default */
	bool track_mem; /* what is written after the dump is tracked, for the next one */
	const char *prev_images_dir; /* counts from images_dir; NULL: no incremental images */
	bool no_precopy; /* copy no memory while the tree runs */
	bool copy_frozen; /* what is left is copied while the tree stands still, even if it runs on */
	unsigned int max_frozen; /* ms: the live copy goes on until copying the rest takes no longer; 0: not given */
	unsigned int precopy_rounds; /* at most; 0: as many as are worth it, and only for trees that are large enough */
	enum bpf_use bpf; /* dump, explain */
	unsigned int packing; /* dump: enum packing of packed.h */
	bool checksum; /* dump: write checksums */
	bool no_checksum; /* restore: do not look at them */
	bool display_stats;
	enum progress_mode progress;
	const char *stats_json; /* in work_dir unless absolute; NULL: none */
	bool page_server; /* dump: pages go to one; lazy-pages: they come from one */
	bool lazy_pages; /* memory comes when it is needed */
	const char *address; /* of a page server, in numbers; NULL: any, or this machine */
	unsigned int port;
	int ps_socket; /* an open connection instead; -1: none */
	bool daemon;
	bool auto_dedup; /* dump: cut out of the parents what is written; restore: cut out what was restored */
	int status_fd; /* gets one zero byte when the program is ready; -1: none */
	bool json;
	const char *feature; /* ckpt check --feature */
	unsigned int cpu_caps; /* --cpu-cap: CPU_CAP_* of cpuinfo.h */
	bool cpu_cap_given;
	bool all; /* ckpt check --all */
	bool extra; /* ckpt check --extra */
	bool fault_points; /* ckpt check --fault-points */
	const char *config; /* --config */
	bool no_default_config;
	bool ext_unix_any; /* --ext-unix-sk without inodes */
	const char *ext_unix; /* with: numbers, separated by commas; NULL: none */
	struct outside *outside; /* --external, --inherit-fd, in the order in which they were given; owned */
	size_t outside_count;
	int *close_fds; /* --close: descriptors to close before anything else; owned */
	size_t close_count;
	char **args; /* what follows the action: files of ckpt show, what ckpt cpuinfo shall do; NULL-terminated, owned
		      */
	size_t arg_count;
	void *owned; /* strings that came from configuration files */
};

#define _cleanup_opts_ __attribute__((cleanup(opts_free)))

/* Sets the defaults. */
void opts_init(struct opts *opts);
/*
 * Fills an initialized struct from configuration files and argv, and checks that it makes sense for its action.
 * Goes on after an error, so that all are logged and log_file is known. No side effect but reading the files.
 * Returns 0 or -errno (logged): -EINVAL for what the user wrote wrong.
 */
int opts_parse(struct opts *opts, int argc, char **argv);
/* What was named so by --inherit-fd, or by --external; NULL: nothing. */
const struct outside *opts_find_outside(const struct opts *opts, const char *key, bool inherited);
/* Frees what the struct owns. */
void opts_free(struct opts *opts);

#endif
