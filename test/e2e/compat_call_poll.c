/* call_poll.c as a 32-bit program. */
#include "compat.h"

#include "call_poll.c"
