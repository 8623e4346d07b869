/* Options that sockets of all families share. */
#ifndef CKPT_SK_OPTS_H
#define CKPT_SK_OPTS_H

#include "sk-opts.pb-c.h"

/* Reads them from a socket of ours. Returns 0 or -errno (not logged). */
int sk_opts_get(int fd, SkOptsEntry *e);

#endif
