/* tree_exec.c as a 32-bit program. */
#include "compat.h"

#include "tree_exec.c"
