/* call_clock_nanosleep_until.c as a 32-bit program. */
#include "compat.h"

#include "call_clock_nanosleep_until.c"
