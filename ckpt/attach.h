/* Attaching to the threads of a tree. For freeze.c. */
#ifndef CKPT_ATTACH_H
#define CKPT_ATTACH_H

#include "dump.h"

#define WORKER_THREAD 0x00004010 /* PF_USER_WORKER (6.4), PF_IO_WORKER of flags in /proc/PID/stat */

/*
 * Says why a process must not even be touched: ckpt would freeze itself; kernel threads and single threads are no
 * processes. Returns 0 or -errno (logged).
 */
int refuse_root(pid_t root);

/* Says why a thread did not stop in time. */
void say_why_it_runs(const struct dump_task *t, pid_t tid);

/* Whether a thread belongs to the kernel, which works for the task in it (io_uring, vhost): it is left alone. */
bool is_worker(const struct dump_task *t, pid_t tid);

/* Attaches to a child of a task of the tree and asks it to stop, if it is no zombie. */
bool attach_at_once(pid_t pid);

/*
 * Attaches to a thread. Returns 1, 0 when it is dead or traced (a blocker), or -errno (logged). A thread that cannot be
 * attached to, but lives and is not traced, was dying, and has its number now from another one that executes a program.
 * A dead main thread makes the task a zombie, or t->main_exited when other threads live on.
 */
int attach(struct dump_task *t, pid_t tid);

/* Whether the main thread, which had exited, still is the one that did. */
bool main_is_dead(const struct dump_task *t);
/*
 * The main thread has exited: memory and descriptors are the others' only. Another one stands for the task, whose
 * directory in /proc shows them. Returns 0 or -errno (logged).
 */
int take_other_member(struct dump_task *t);

/*
 * While it is on, SIGALRM comes every 20 ms, and nobody waits for ever: the ends of threads that we hold are collected
 * even while attach() waits for one that executes a program, and tracee_poll() sees that a thread was killed.
 */
void collect_ends_often(bool on);

#endif
