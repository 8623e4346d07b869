/* What a task does on its way from its birth to the blob. */
#ifndef CKPT_RESTORE_TASK_H
#define CKPT_RESTORE_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "core.pb-c.h"
#include "fault.h"

struct block;
struct plan;
struct plan_task;

/*
 * Forks the task with its number, as a child of this process, or of this process' parent. It runs
 * task_main() and does not return. Returns 0 or -errno (logged).
 */
int tree_fork(struct plan *plan, struct plan_task *task, bool as_sibling);

/* Forks a process that waits to be killed, with the number if that is free. Returns its number, or -1 with errno. */
pid_t tree_fork_dead(const struct plan *plan, pid_t pid);
/*
 * Forks a helper with a number that nobody in the tree needs; flags: of clone(2), like CLONE_FILES. Returns as fork(2).
 */
pid_t tree_fork_anonymous(const struct plan *plan, uint64_t flags);

/* Forks a helper with the number, which shares our descriptors. Returns as fork(2). */
pid_t tree_fork_as(pid_t pid);

/* Opens what the task opens for itself and its descendants. Returns 0 or -errno (logged). */
int task_open_files(struct plan *plan, struct plan_task *task);
/* From STAGE_MEMORY on: numbers its descriptors, moves into the blob. */
_Noreturn void task_finish(struct plan *plan, struct plan_task *task);

/* Tells the blob of the task what to map and to read. Returns 0 or -errno (logged). task_memory.c */
int task_fill_memory(struct plan *plan, struct plan_task *task, struct block *block);
/* How many struct restorer_read and restorer_pages that takes at most, each. */
size_t task_count_reads(const struct plan_task *task);

/* A fault point in a task: SIGINT and SIGTERM are for the process that the user started. Returns as fault_point(). */
int task_fault_point(const struct plan *plan, enum fault_id id);

/* The parent-death signal that a thread shall have; 0: none. part_attrs.c */
uint32_t task_pdeath_signal(const struct plan *plan, const struct plan_task *task, const ThreadCoreEntry *e);
/* Whether the task shall be stopped in the end. */
bool task_ends_stopped(const struct plan *plan, const struct plan_task *task);

/*
 * In the coordinator, when all threads wait in the blob: seizes them and makes them what they were, all but
 * running. Returns 0 or -errno (logged).
 */
int tree_prepare_go(struct plan *plan);
/* Lets all go. */
void tree_go(struct plan *plan);

#endif
