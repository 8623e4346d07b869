/* What a dump counts: for stats-dump, --display-stats and --stats-json. Times are in microseconds. */
#ifndef CKPT_DUMP_STATS_H
#define CKPT_DUMP_STATS_H

#include <sys/types.h>

#include "phases.h"

struct opts;

/* A round of the live copy. */
struct round_stats {
	uint64_t bytes, us;
};

struct task_stats {
	pid_t pid;
	uint64_t pages_scanned, pages_written, pages_parent; /* left to the parent */
	uint64_t us; /* of all threads: finding the pages, and copying what was left when the task stood still */
};

struct dump_stats {
	struct phases phases;
	uint64_t freezing_time, frozen_time, memdump_time, memwrite_time; /* us */
	uint64_t pages_scanned, pages_written, shpages_scanned, shpages_written;
	uint64_t pages_parent;
	uint64_t tracking_pause; /* for how long the tree stood still before the live copy, or for a pre-dump */
	uint64_t late_bytes, late_time; /* copied from snapshots, when the tree ran again; us */
	uint64_t pages_again; /* that the tree wrote after they were copied: a fault each, and another copy */
	struct round_stats *rounds; /* owned */
	size_t n_rounds;
	struct task_stats *tasks; /* owned */
	size_t n_tasks;
};

/* Statistics are no reason to fail: without memory, some are left out. */
void dump_stats_add_round(struct dump_stats *s, uint64_t bytes, uint64_t us);
void dump_stats_add_task(struct dump_stats *s, const struct task_stats *task);
void dump_stats_free(struct dump_stats *s);
/* --display-stats. */
void dump_stats_show(const struct dump_stats *s);
/* --stats-json, if it is asked for; err: what came of the dump. */
void dump_stats_write_json(const struct dump_stats *s, const struct opts *opts, int err);

#endif
