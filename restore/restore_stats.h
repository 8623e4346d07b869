/* What a restore tells of itself. */
#ifndef CKPT_RESTORE_STATS_H
#define CKPT_RESTORE_STATS_H

#include "phases.h"

struct plan;
struct plan_pages;

/* Bytes that are loaded from page images, but for those that come late. */
uint64_t pages_bytes(const struct plan *plan, const struct plan_pages *pages);
/* --stats-json, if it is asked for; err: what came of the restore. */
void restore_stats_json(const struct plan *plan, const struct phases *phases, int err);

/* How much of the memory is loaded: begins that phase; looks, from time to time. */
void restore_progress_begin(struct plan *plan);
void restore_progress_look(struct plan *plan);

#endif
