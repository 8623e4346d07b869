/* part_timers.c as a 32-bit program. */
#include "compat.h"

#include "part_timers.c"
