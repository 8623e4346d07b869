/*
 * The parasite in a task: putting it there, asking it, taking it away (parasite/README.md).
 *
 * It leaves no trace when this process dies, at whatever operation: the mapping is undone on the thread's
 * way home, and the running parasite undoes itself when it finds its socket closed.
 */
#ifndef CKPT_INJECT_H
#define CKPT_INJECT_H

#include <stdbool.h>
#include <sys/uio.h>

#include "parasite_abi.h"
#include "remote.h"

struct parasite {
	struct remote *thread; /* the thread that it borrows */
	int socket;	       /* our end; -1: it does not run */
	int mem;	       /* /proc/PID/mem */
	bool started;	       /* the thread is inside the blob */
	uint64_t base, size;   /* its mapping in the task; size 0: none */
};

/*
 * Maps the parasite into the task of a thread that remote_prepare made ready with PARASITE_STACK bytes, and
 * starts it. proc is the descriptor of /proc/PID. Returns 0 or -errno (logged); whatever was done up to
 * then is undone by parasite_remove.
 */
int parasite_inject(struct parasite *p, struct remote *thread, int proc, pid_t pid, const struct vma_list *vmas);
/* Asks for what only the inside shows. Returns 0 or -errno (logged). */
int parasite_get_task(struct parasite *p, struct parasite_task *task);
/* Passes the file that parasite_write writes to; the target holds a copy until parasite_remove. */
int parasite_take_file(struct parasite *p, int fd);
/* The task appends ranges of its memory, at most PARASITE_RANGES, to the file. All bytes or -errno (logged). */
int parasite_write(struct parasite *p, const struct iovec *ranges, unsigned int n);
/* Makes the parasite undo itself. The thread is at a stop then; remote_cure gives it its state back. */
int parasite_remove(struct parasite *p);

#endif
