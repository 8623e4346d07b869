/* call_msg.c as a 32-bit program. */
#include "compat.h"

#include "call_msg.c"
