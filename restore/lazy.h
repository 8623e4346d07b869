/* Memory that comes late (--lazy-pages): the coordinator hands it over to the daemon that serves it. */
#ifndef CKPT_RESTORE_LAZY_H
#define CKPT_RESTORE_LAZY_H

#include "plan.h"

/* Connects to the daemon, before any process exists. Nothing without --lazy-pages. Returns 0 or -errno (logged). */
int lazy_connect(struct plan *plan);
/*
 * When all tasks have mapped their memory and wait: gives their userfaultfds to the daemon and hears that it serves
 * them. Returns 0 or -errno (logged).
 */
int lazy_hand_over(struct plan *plan);
/* The tree runs: all pages may come. */
void lazy_done(struct plan *plan);
void lazy_close(struct plan *plan);

#endif
