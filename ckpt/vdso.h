/* Threads inside the vDSO. */
#ifndef CKPT_VDSO_H
#define CKPT_VDSO_H

#include <stdbool.h>

#include "dump.h"

/*
 * Lets a thread that was stopped in the middle of a function of the vDSO go on for a moment and asks it to stop
 * again. Returns whether it did: then the thread has to be waited for. A thread that is in there again and again is
 * taken as it is in the end.
 */
bool vdso_let_out(struct dump_thread *th);

#endif
