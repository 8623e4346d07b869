/* The coordinator copies pages into a large task while it waits for it. */
#ifndef CKPT_RESTORE_COPY_HELP_H
#define CKPT_RESTORE_COPY_HELP_H

#include "plan.h"

/* Helps a task that wants it, if there is one, until all is done. What fails is left to the task. */
void copy_help(struct plan *plan);

#endif
