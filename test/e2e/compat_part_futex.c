/* part_futex.c as a 32-bit program. */
#include "compat.h"

#include "part_futex.c"
