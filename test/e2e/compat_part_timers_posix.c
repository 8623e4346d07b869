/* part_timers_posix.c as a 32-bit program. */
#include "compat.h"

#include "part_timers_posix.c"
