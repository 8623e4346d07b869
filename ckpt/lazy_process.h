/* What the parts of the daemon of a lazy restore share: the processes whose pages come late. */
#ifndef CKPT_LAZY_PROCESS_H
#define CKPT_LAZY_PROCESS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "lazy_daemon.h"
#include "lazy_keep.h"
#include "lazy_mm.h"
#include "lazy_moves.h"

struct process {
	struct process *next; /* newest first; none is freed before the end */
	/*
	 * For writing: events are read, and all may be changed. For reading, and with the lock: pages are taken out of
	 * the set and put in place, which takes long and is done without the lock.
	 */
	pthread_rwlock_t events;
	pthread_mutex_t lock;
	int uffd; /* -1: all its pages have come, or it is gone */
	int pidfd; /* -1: unknown, it was forked since */
	int slot; /* in the keeper's state */
	uint64_t pid; /* whose pages they were in the images */
	struct lazy_set set;
	struct lazy_moves moves;
	_Atomic bool quiet; /* a page was put in place: no event that began before that is on its way */
	uint64_t cursor; /* where filling goes on */
	uint64_t *later; /* addresses that somebody waits for, which could not be served yet: owned */
	size_t n_later, later_room;
};

/* A page image that pages are read from. */
struct page_file {
	uint32_t depth, id;
	int fd;
};

struct daemon {
	const struct lazy_options *options;
	struct keep *keep;
	pid_t keeper;
	int keeper_fd; /* a pidfd of it */
	int epoll, wake; /* wake: an eventfd, something has changed for the main thread */
	struct process *_Atomic processes;
	struct process *next_to_fill;
	pthread_mutex_t fill_lock; /* of next_to_fill */
	pthread_mutex_t server_lock; /* of the connection to the page server */
	struct page_file *files;
	size_t n_files;
	bool restored; /* the tree runs */
	pthread_t fillers[2];
	_Atomic bool filling, failed, done; /* done: threads that fill end */
};

/* The number of a page image among those that are open, or -errno (logged). */
int lazy_find_file(struct daemon *d, uint32_t depth, uint32_t id);
/* Takes over a process. pidfd -1: it is not known which. used: see struct lazy_moves. Returns 0 or -errno (logged). */
int lazy_add_process(struct daemon *d, int uffd, int pidfd, uint64_t pid, const struct lazy_set *set,
		     const struct lazy_set *used);
/* Nothing more comes: closes what it has. With p->events for writing. */
void lazy_end_process(struct daemon *d, struct process *p);
/*
 * Reads what the kernel tells of a process, and gives it what it waits for. What cannot be done yet is left in
 * p->later: to be called again soon. Returns 0 or -errno (logged).
 */
int lazy_serve(struct daemon *d, struct process *p);
/* The body of a thread that fills in what nobody has asked for, once d->filling is set. arg: the daemon. */
void *lazy_fill(void *arg);

#endif
