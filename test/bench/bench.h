/* What the files of the bench share. See bench.c. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/types.h>

#define MAX_ROUNDS 100

enum value { DUMP, FROZEN, RESTORE, VALUES };

struct tool {
	const char *name;
	char path[PATH_MAX];
	double ms[VALUES][MAX_ROUNDS];
};

/* In what a row is larger than others of its kind. */
enum growth { IN_NOTHING, IN_MEMORY, IN_PROCESSES, IN_THREADS, GROWTHS };

struct row {
	const char *name;
	const char *args[2]; /* of the target */
	size_t mib; /* to be touched beforehand */
	bool huge; /* in huge pages */
	bool stays; /* dumped with -R; "frozen" is the longest pause that the target saw, and there is no restore */
	enum growth growth;
	double size; /* in GiB, processes, threads */
};

struct bench {
	struct tool tools[2]; /* ckpt, and its peer if there is one */
	int n_tools;
	int rounds;
	char target[PATH_MAX];
	char images[PATH_MAX]; /* a directory */
	bool on_disk;
	bool with_floor; /* what no dump can do without is measured, too */
};

extern struct bench bench;

/* Ends the bench with errno's message. */
noreturn void die(const char *what, const char *on);

/* Milliseconds of a clock that only goes forward. */
double now_ms(void);

/* Sorts the values. */
double median(double *values, int n);

/* Starts the target of a row, and waits until it is ready. */
pid_t start_target(const struct row *row);

/* Kills all but us in our PID namespace, and removes the images. */
void clean_up(void);

/* We are PID 1: the orphans of a dump are ours. */
void reap_all(void);

/* Has the host back our free memory again. */
void warm_memory(size_t mib, bool huge);

/* Starts `tool action -D images -o action.log -v0 ARGS...`; a NULL ends the arguments. */
pid_t start_tool(const struct tool *tool, const char *action, const char *const *args);

/* Waits for it; the bench ends when it failed. */
void wait_for_tool(const struct tool *tool, const char *action, pid_t pid);

/* Both; returns its wall time in ms. */
double run_tool(const struct tool *tool, const char *action, const char *const *args);

/* Runs a dump of the tree. Returns its wall time in ms. At most 4 more arguments, then NULL. */
double run_dump(const struct tool *tool, pid_t root, const char *const *args);

/* Runs a restore that leaves us when the tree runs. Returns its wall time in ms. */
double run_restore(const struct tool *tool);

/* Maps a page of a file in /run that a target counts in. */
uint64_t *map_counter(const char *path);

/* Does what no dump of the tree can leave out. Returns the time in ms, and for how long the tree stood still in it. */
double floor_dump(pid_t root, double *frozen);

/* Rows that are no simple dump and restore. */
void run_chain(const char *name, const char *mib);
void run_lazy(const char *name, const char *mib);
void run_peak(const char *name, const char *mib);
