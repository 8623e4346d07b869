/* Terminals of the tree: pseudo terminals that are made again, and the sessions that own them. */
#ifndef CKPT_RESTORE_TTY_H
#define CKPT_RESTORE_TTY_H

#include <stdbool.h>
#include <stdint.h>

#include "image_messages.h"

struct plan;
struct plan_file;
struct plan_task;

/* A pseudo terminal, or what is left of one. */
struct terminal {
	uint32_t index; /* N of /dev/pts/N */
	bool any_index; /* all its descriptors are hung up, so its number does not matter */
	bool outside; /* its master is not in the images */
	const TtyInfoEntry *master, *slave; /* NULL: not in the images */
	const TtyDataEntry *output, *input; /* what master and slave have not read; or NULL */
	struct plan_file *first; /* one of its descriptions; the others are opened together with it */
	struct plan_task *leader; /* of its session, if that is one of the tree; else NULL */
	uint32_t group; /* in the foreground, 0: none */
	int slave_fd; /* in the owner and its descendants, meanwhile, if there is a leader */
	struct terminal *next;
};

/* In a task that has just made its session: makes its terminal the controlling one. Returns 0 or -errno (logged). */
int session_take_terminal(const struct plan_task *task);
/* In the leader of a session, when all groups have their members: brings one to the foreground. */
void session_set_foreground(const struct plan_task *task);
/*
 * Opens /dev/tty in another session, whose terminal tty is and that ends at once; tty must not have one. Returns the
 * descriptor or -errno (logged).
 */
int session_open_ctty(struct plan *plan, int tty, int flags);

#endif
