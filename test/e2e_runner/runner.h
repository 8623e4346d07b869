/*
 * The e2e runner: dumps and restores each program of test/e2e in several ways, and looks at what happens.
 *
 * main.c chooses the cases and starts one worker process for each, two at a time. A worker is a child
 * subreaper: whatever a dump or a restore leaves without a parent comes to it. The whole runner lives in a PID
 * and a mount namespace of its own, so that nothing of it survives its end, however it ends.
 */
#ifndef E2E_RUNNER_H
#define E2E_RUNNER_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#define SKIPPED 77
#define TOOL_TIMEOUT 240 /* seconds; only against hangs */

/* What main() was asked for. */
struct settings {
	char tool[PATH_MAX]; /* the checkpointer under test */
	char peer[PATH_MAX]; /* --cross: the other one */
	char programs[PATH_MAX]; /* directory of the built programs */
	char sources[PATH_MAX]; /* directory of NAME.c and real_NAME.sh */
	char out[PATH_MAX]; /* where cases have their directories */
	bool full; /* heavy sizes */
	bool keep; /* keep the directories of cases that pass */
	bool own_tmp; /* /tmp is ours alone */
	bool is_criu; /* the tool is CRIU: some cases make no sense */
};

extern struct settings settings;

/* Exceptions from the rule, from programs.def. */
struct program_traits {
	const char *name;
	const char *ways; /* names, comma separated; NULL: the usual ones */
	bool filtered; /* its tasks are under seccomp: they have no snapshots */
	bool busy; /* changes all the time: /proc is not compared, and its processes may end */
	bool shell_job; /* needs a terminal from outside, and --shell-job */
	const char *option; /* of the tool, for dump, explain and restore: what the program needs */
	unsigned int files; /* hard limit of open files that the tool gets; 0: ours */
	const char *later; /* why ckpt need not do it yet; the program is skipped unless it is named */
};

struct program {
	char name[64];
	char path[PATH_MAX];
	bool script; /* real_NAME.sh instead of a program */
	const struct program_traits *traits;
};

struct lines {
	char **line;
	size_t n, size;
};

/* One case, in its worker process. */
struct run {
	const struct program *program;
	const char *way;
	unsigned int chain_begin; /* the dump with which the chain of incremental dumps began; 0: there is none */
	bool pre_dump; /* the next dump is one */
	bool live; /* dumps copy memory live, however little it is */
	bool bpf; /* dumps ask by BPF iterators, however little there is */
	char dir[PATH_MAX - 256]; /* all files of the case */
	char work[PATH_MAX - 192]; /* working directory of the program */
	pid_t root; /* root of the tree */
	int root_status; /* wait status, when root_ended */
	bool root_ended;
	bool may_be_killed; /* by SIGKILL, which is no failure then */
	pid_t *pids; /* all tasks of the tree (thread groups) when last looked at */
	size_t n_pids;
	int terminal; /* our end of the terminal of a shell job, or -1 */
	int tty; /* the other end */
	unsigned int dumps, restores; /* done so far, for the names of files */
	unsigned int faults; /* fault points that were run */
	unsigned int problems; /* found so far, where a case goes on after one */
	FILE *report;
};

/* worker.c: what a worker is made of */
void say(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void fail_case(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
void skip_case(struct run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3), noreturn));
void end_case(struct run *r, int status) __attribute__((noreturn));
/* Reports the end of a text file. */
void say_file(struct run *r, const char *path, int lines);
void start_program(struct run *r);
/* Has the program check itself, and ends the case with its verdict. */
void finish_program(struct run *r) __attribute__((noreturn));
/* The program checks itself and must find nothing; a new one can be started afterwards. */
void check_program(struct run *r);
/* Kills what is left of the program. */
void drop_program(struct run *r);
/* Remembers the pids of the tree. */
void remember_pids(struct run *r);
/* Waits until none of the remembered processes exists; returns how many still do after the seconds. */
size_t wait_gone(struct run *r, double seconds);

/* process.c: processes */
double now(void);
void sleep_ms(long ms);
/* Reaps every child that ended; remembers the end of the root task. */
void reap(struct run *r);
/* Kills and reaps all descendants of this process, except one (0: none). */
void kill_descendants(pid_t except);
/* The children of a process. Returns their number; *pids is to be freed. */
size_t children_of(pid_t pid, pid_t **pids);
/* The processes of a tree, root first. Returns their number; *pids is to be freed. */
size_t tree_of(pid_t root, pid_t **pids);
bool process_exists(pid_t pid);
char process_state(pid_t pid);
/* Whole small file as a string, or NULL. To be freed. */
char *read_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* mkdir -p */
void make_dirs(const char *path);
/* rm -rf */
void remove_tree(const char *path);

/* tool.c: the checkpointer under test */
struct tool_call {
	const char *tool; /* NULL: settings.tool */
	const char *fault; /* CKPT_FAULT, or NULL */
	const char *label; /* names its files: DIR/LABEL.out */
	const char *extra[8]; /* more options */
	int signal; /* sent after signal_delay_us, or 0 */
	long signal_delay_us;
	int keep_fd; /* stays open in the tool; 0: none */
	double seconds; /* out: how long it ran */
};
/* Starts the tool. */
pid_t tool_start(struct run *r, const struct tool_call *call, const char *const *argv);
/* Waits for it. Returns the exit status, or 128 + signal. */
int tool_wait(struct run *r, struct tool_call *call, pid_t pid);
/* DIR/img-N of the current dump. */
const char *image_dir(struct run *r);
/* New image directory, then `dump`. Returns the exit status. */
int dump(struct run *r, struct tool_call *call, bool leave_running);
/* `restore -d` from the current image directory. Returns the exit status. */
int restore(struct run *r, struct tool_call *call);
/* The same, must succeed; the processes must be gone, and there, afterwards. */
void dump_ok(struct run *r, const char *tool, bool leave_running);
void restore_ok(struct run *r, const char *tool);
/* Names and sizes of the files in the image directory, but for statistics of a restore. */
void list_images(struct run *r, struct lines *lines);
/* The names in the image directory that could be taken for images. */
bool images_left(struct run *r, bool partial_allowed, char *names, size_t size);

/* snapshot.c, compare.c: /proc of the tree as lines of text */
void snapshot(struct run *r, struct lines *lines);
/* A deleted file whose name belongs to another one now gets another by a restore. */
void cut_ghost_name(char *name);
void snapshot_maps(struct lines *lines, pid_t pid);
void add_line(struct lines *lines, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void free_lines(struct lines *lines);
/* Number of lines in one but not in the other; told when told is set. */
size_t compare(struct run *r, const struct lines *before, const struct lines *after, bool tell);
/* Whether the tree is the same again within some seconds; if not, what differs was told. */
bool is_same(struct run *r, const struct lines *before, const char *when);
/* The same, must be so. */
void expect_same(struct run *r, const struct lines *before, const char *when);
/* Whether a line of /proc is left out, see allowed.def. */
bool with_criu(void);
bool is_volatile(const char *file, const char *line);

/* ways.c, faults.c, refuse.c, other_kernel.c: the ways to run a program */
struct way {
	const char *name;
	void (*run)(struct run *r);
	const char *what;
};

extern const struct way ways[];
void way_faults_dump(struct run *r);
void way_faults_restore(struct run *r);
void way_kills(struct run *r);
void way_operations(struct run *r);
void way_operations_live(struct run *r);
void way_signals(struct run *r);
void way_full_disk(struct run *r);
void way_full_disk_copy(struct run *r);
void way_refuse(struct run *r);
void way_explain(struct run *r);
void way_other_kernel(struct run *r);
/* chain.c: makes the images of the last dump a chain of three incremental sets. */
void make_chain(struct run *r);
/* page_server.c: a network of our own; a server of the tool, once it is ready */
void own_network(struct run *r);
pid_t start_server(struct run *r, struct tool_call *call, const char *action, const char *const *options);
void way_page_server(struct run *r);
void way_page_server_dies(struct run *r);
void way_pages_to_peer(struct run *r);
void way_pages_from_peer(struct run *r);
void way_lazy(struct run *r);
void way_lazy_chain(struct run *r);
void way_lazy_remote(struct run *r);
void way_lazy_remote_peer(struct run *r);
void way_lazy_dies(struct run *r);
void way_lazy_faults(struct run *r);
void way_lazy_migrate(struct run *r);
void way_lazy_migrate_peer(struct run *r);
void way_lazy_migrate_fails(struct run *r);
void way_dedup(struct run *r);
/* verify.c: `verify` must find nothing wrong with the images of the last dump. */
void verify_ok(struct run *r);
void way_verify(struct run *r);
void way_compress(struct run *r);
void way_peer_restores(struct run *r);
void way_restores_peer(struct run *r);
void way_peer_restores_chain(struct run *r);

#endif
