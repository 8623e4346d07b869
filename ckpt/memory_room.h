/* How much memory a task can still get before somebody must be killed for it. */
#ifndef CKPT_MEMORY_ROOM_H
#define CKPT_MEMORY_ROOM_H

#include <stdbool.h>
#include <stdint.h>

/* In bytes: of the machine, and of the memory cgroups that the task is in. proc is the descriptor of its /proc/PID. */
uint64_t memory_room(int proc);
/* The same of the machine alone, and of the cgroups of one hierarchy, from the texts of the files in /proc. */
uint64_t memory_available(const char *meminfo);
uint64_t memory_room_of_cgroups(const char *mountinfo, const char *cgroups, bool v2);

#endif
