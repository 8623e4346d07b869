/* tree_stopped.c as a 32-bit program. */
#include "compat.h"

#include "tree_stopped.c"
