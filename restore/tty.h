/* Terminals of the tree: pseudo terminals that are made again, and the sessions that own them. */
#ifndef CKPT_RESTORE_TTY_H
#define CKPT_RESTORE_TTY_H

#include <stdbool.h>
#include <stdint.h>

#include <asm/termbits.h>

#include "image_messages.h"
#include "plan.h"

#define TTY_MAX_INDEX (1u << 20) /* of ptys; and more than those of all: no matter which */

/* A pseudo terminal, or what is left of one. */
struct terminal {
	uint32_t index; /* N of /dev/pts/N */
	bool any_index; /* all its descriptors are hung up, so its number does not matter */
	bool outside; /* its master is not in the images */
	int inherited; /* a descriptor of --inherit-fd; -1: none */
	const TtyInfoEntry *master, *slave; /* NULL: not in the images */
	const TtyDataEntry *output, *input; /* what master and slave have not read; or NULL */
	struct plan_file *first; /* one of its descriptions; the others are opened together with it */
	struct plan_task *leader; /* of its session, if that is one of the tree; else NULL */
	uint32_t group; /* in the foreground, 0: none */
	int slave_fd; /* in the owner and its descendants, meanwhile, if there is a leader */
	struct terminal *next;
};

enum tty_role { TTY_MASTER, TTY_SLAVE, TTY_CTTY, TTY_EXTERNAL, TTY_DEVICE };

/* What a description refers to. */
struct tty_file {
	const TtyInfoEntry *info;
	enum tty_role role;
	bool hung_up;
	struct terminal *terminal;
	struct terminal from_outside; /* of TTY_EXTERNAL and TTY_DEVICE: its terminal */
	const char *path; /* of TTY_DEVICE, a console or serial line; NULL: that of a shell job */
};

struct ttys {
	size_t n, n_data;
	TtyInfoEntry **list;
	TtyDataEntry **data;
	struct terminal *terminals;
};

static inline struct tty_file *tty_state(const struct plan_file *file)
{
	return file->data;
}

/* Makes a pty with all that refers to it (tty_pty.c). Returns 0 or -errno (logged). */
int tty_make_pty(struct plan *plan, struct terminal *t);
/* Flags for open(2) of a description. */
int tty_open_flags(const struct plan_file *file);
/* Settings as images have them. */
void tty_fill_termios(struct termios *t, const TermiosEntry *e);

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
