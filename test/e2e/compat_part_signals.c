/* part_signals.c as a 32-bit program. */
#include "compat.h"

#include "part_signals.c"
