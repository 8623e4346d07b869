/* Options that sockets of all families share. */
#ifndef CKPT_SK_OPTS_H
#define CKPT_SK_OPTS_H

#include <stdbool.h>

#include "sk-opts.pb-c.h"

/*
 * Reads them from a socket of ours; so_filter is the caller's to free. *bpf: packets are filtered by a program that
 * nobody can read (SO_ATTACH_BPF). Returns 0 or -errno (not logged).
 */
int sk_opts_get(int fd, SkOptsEntry *e, bool *bpf);
/* Says that such a program stands in the way. Returns 0 or -errno (logged). */
struct dump;
struct dump_file;
int sk_opts_refuse_bpf(struct dump *d, const struct dump_file *f);

#endif
