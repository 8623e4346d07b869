/* call_sigtimedwait.c as a 32-bit program. */
#include "compat.h"

#include "call_sigtimedwait.c"
