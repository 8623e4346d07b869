/* Options that sockets of all families share. */
#ifndef CKPT_RESTORE_SK_OPTS_H
#define CKPT_RESTORE_SK_OPTS_H

#include "sk-opts.pb-c.h"

struct plan;
struct plan_file;

/* Checks them. What is not supported is refused. */
void sk_opts_check(struct plan *plan, const struct plan_file *file, const SkOptsEntry *e);
/* Sets what differs. Returns 0 or -errno (logged). */
int sk_opts_set(const struct plan_file *file, const SkOptsEntry *e);

#endif
