/* blocked.c as a 32-bit program. */
#include "compat.h"

#include "blocked.c"
