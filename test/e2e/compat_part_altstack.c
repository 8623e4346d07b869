/* part_altstack.c as a 32-bit program. */
#include "compat.h"

#include "part_altstack.c"
