/* call_futex.c as a 32-bit program. */
#include "compat.h"

#include "call_futex.c"
