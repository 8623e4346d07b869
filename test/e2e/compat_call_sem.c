/* call_sem.c as a 32-bit program. */
#include "compat.h"

#include "call_sem.c"
