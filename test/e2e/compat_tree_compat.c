/* tree_compat.c as a 32-bit program. */
#include "compat.h"

#include "tree_compat.c"
