/* Options that sockets of all families share. */
#ifndef CKPT_RESTORE_SK_OPTS_H
#define CKPT_RESTORE_SK_OPTS_H

#include "sk-opts.pb-c.h"

struct plan;
struct plan_file;

/* Checks them. What is not supported is refused. */
void sk_opts_check(struct plan *plan, const struct plan_file *file, const SkOptsEntry *e);
/* What depends on the system in a new socket. */
struct sk_fresh {
	int sndbuf, rcvbuf; /* bytes; 0: not known */
};
/* Sets what differs. fresh: the socket is new, and has these; NULL: ask it. Returns 0 or -errno (logged). */
int sk_opts_set(const struct plan_file *file, const SkOptsEntry *e, const struct sk_fresh *fresh);
/* Asks a new one. Returns 0 or -errno (not logged). */
int sk_opts_ask_fresh(int fd, struct sk_fresh *fresh);

#endif
