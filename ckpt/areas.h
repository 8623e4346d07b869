/*
 * Areas of a process with their flags. smaps shows these, but looks at each page, and prints twenty lines for each area
 * that nobody reads. A BPF iterator tells of 60,000 areas in a tenth of the time.
 */
#ifndef CKPT_AREAS_H
#define CKPT_AREAS_H

#include <stdbool.h>
#include <sys/types.h>

#include "proc.h"

struct dump;

#define AREAS_MANY 4000 /* fewer are read from smaps before the kernel's types are loaded */

/*
 * The same as proc_vmas(proc, true, list), for a process that is pid as we see it. d: NULL, by smaps in any case. Of a
 * process that runs, what is read may be of two moments, as with smaps. One thread at a time.
 */
int areas_read(struct dump *d, int proc, pid_t pid, struct vma_list *list);
/* The same, but returns -E2BIG where areas_read() would take another way than smaps. For any thread. */
int areas_read_few(const struct dump *d, int proc, pid_t pid, struct vma_list *list);
/* Does what takes a while and needs no task, before the tree stands: of use where some task has very many. */
void areas_get_ready(struct dump *d);
/* Whether that has succeeded: areas are read in no time while the tree stands. */
bool areas_are_ready(const struct dump *d);
void areas_forget(struct dump *d);

#endif
