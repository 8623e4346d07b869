/* call_ppoll.c as a 32-bit program. */
#include "compat.h"

#include "call_ppoll.c"
