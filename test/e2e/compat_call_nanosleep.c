/* call_nanosleep.c as a 32-bit program. */
#include "compat.h"

#include "call_nanosleep.c"
