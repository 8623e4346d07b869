/*
 * What the kernel tells of threads and tasks by BPF iterators (thread_look.c, task_look.c): what /proc tells slowly,
 * and what they would have to be asked themselves. Some of it is not understood, but compared: who has the same values
 * as one that was asked would answer the same.
 */
#ifndef CKPT_KERNEL_LOOK_H
#define CKPT_KERNEL_LOOK_H

#include <stdint.h>

#include "bpf_iter.h"
#include "dump.h"

/* Ids and capabilities: thirteen values. */
#define CREDENTIALS                                                                                                    \
	"task.real_cred.uid", "task.real_cred.gid", "task.real_cred.euid", "task.real_cred.egid",                      \
		"task.real_cred.suid", "task.real_cred.sgid", "task.real_cred.fsuid", "task.real_cred.fsgid",          \
		"task.real_cred.cap_inheritable", "task.real_cred.cap_permitted", "task.real_cred.cap_effective",      \
		"task.real_cred.cap_bset", "task.real_cred.cap_ambient"

/*
 * Paths to the numbers that a thread ("task.pid"), its process and the parent of that have in our PID namespace, and to
 * the level of the parent's own: one above ours has no such number. What lies behind 32 bits of a number is no part of
 * it.
 */
struct number_paths {
	char thread[48], process[64], parent[80];
};
#define PARENT_LEVEL "task.real_parent.thread_pid.level"

/*
 * Fills them in, and d->pid_level: that of our PID namespace, from 0; those of deeper ones are higher. Returns 0 or
 * -errno (not logged).
 */
int look_numbers(struct dump *d, const struct bpf_types *types, struct number_paths *paths);
/* Records of all threads of the tree, and maybe of others. Returns 0, what take() returned, or -errno (not logged). */
int look_read(const struct dump *d, const struct bpf_iter *it, int (*take)(void *arg, const uint64_t *values),
	      void *arg);

/* Paths that stand for the number of a process, as we see it, and for a condition: records of main threads only. */
#define LOOK_PID ""
#define LOOK_TGID "="
/* Records are of one task after the other. */
struct look_tasks {
	struct dump *d;
	pid_t pid; /* of the last record */
	struct dump_task *t; /* its task */
	size_t next; /* in the tree: probably that of the next one */
};
/* What is asked of all tasks. */
struct look_kind {
	const char *what; /* for the log */
	const char *iterator;
	const char *const *paths;
	int (*take)(void *look, const uint64_t *values); /* look: a struct look_tasks */
	void (*forget)(struct dump *d); /* what was taken, when not all is told; NULL: it may stay */
};
/* Records of all tasks of the tree, and maybe of others. Where the kernel does not tell, /proc does: returns 0 or
 * -ENOMEM. */
int look_at_tasks(struct dump *d, const struct bpf_types *types, const struct number_paths *numbers,
		  const struct look_kind *kind);
/* The task that a record is of, by its number; NULL: it is not of the tree. */
struct dump_task *look_task(struct look_tasks *l, uint64_t number);

/* Asks about all tasks: sets t->told where there is an answer. Returns 0 or -ENOMEM (logged). */
int tasks_look(struct dump *d, const struct bpf_types *types, const struct number_paths *numbers);
/*
 * Decides whose parasite tells what is to be known of each task: its own, or that of another one, from whose answer its
 * own follows; all: each has its own. To be called when all that is seen from outside is known.
 */
void tasks_choose(struct dump *d, bool all);
/* What the parasite of t would have answered, when that of t->asked_of has. */
void task_conclude(struct dump_task *t);
/* What a link in /proc/PID ("exe", "cwd", "root") leads to, if it is what its parent has there; NULL: not known. */
struct dump_file *task_link_of_parent(const struct dump_task *t, const char *link);

/* Asks about areas of all tasks, of which areas_like_parent() is to know. Returns 0 or -ENOMEM (logged). */
int areas_look(struct dump *d, const struct bpf_types *types, const struct number_paths *numbers);
/*
 * Fills in the areas of a task from those of its parent, whose areas_known is true; false: it has others. For any
 * thread.
 */
bool areas_like_parent(struct dump_task *t);
void areas_forget_told(struct dump *d);

/* What of a descriptor of a task is to be known, when its description is. */
struct fd_told {
	int number;
	bool locked; /* somebody has a lock on its inode, or had */
	bool cloexec;
	uint64_t address; /* of its open file description */
};
#define FDS_MANY 256 /* no task is told to have more */
/* Asks about descriptors of all tasks: sets t->told_fds, in the order of numbers. Returns 0 or -ENOMEM (logged). */
int fds_look(struct dump *d, const struct bpf_types *types, const struct number_paths *numbers);
void fds_forget_told(struct dump *d);

/* Whether it has no POSIX timers at all. */
bool task_has_no_timers(const struct dump_task *t);

#endif
