/*
 * Stages: all tasks go through the restore together. A task that has done its part of a stage arrives; when
 * all have, the coordinator begins the next.
 */
#ifndef CKPT_RESTORE_STAGE_H
#define CKPT_RESTORE_STAGE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "restorer_abi.h"

struct plan;

/* In the coordinator, while nobody runs or all wait: begins the stage, in which count tasks or threads arrive. */
void stage_begin(struct plan *plan, enum restore_stage stage, size_t count);
/* Waits until all have arrived. Returns 0, or -errno (logged) when one failed or died. */
int stage_finish(struct plan *plan);

/* Whether the process is gone or a zombie. */
bool stage_is_dead(pid_t pid);

/*
 * In the coordinator: from stage_block_interrupts() on SIGINT and its like wait until somebody asks for them, so that
 * a restore that is broken off cleans up. stage_interrupted() returns 0, or -EINTR (logged) when one is waiting.
 */
void stage_block_interrupts(sigset_t *before);
int stage_interrupted(void);

/* In a task. */
void stage_arrive(struct plan *plan);
void stage_wait(struct plan *plan, enum restore_stage stage);
/* The same for a word in the shared memory: waits until it has the value, gives it one. */
void stage_wait_word(uint32_t *word, uint32_t value);
void stage_set_word(uint32_t *word, uint32_t value);
/* Ends this task and the restore. The reason is in the log. */
_Noreturn void stage_fail(struct plan *plan);

/* restore/report.c: puts into words what the blob could not do. */
void report_blob_failure(const struct restorer_shared *shared);

#endif
