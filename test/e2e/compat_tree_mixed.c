/* tree_mixed.c as a 32-bit program. */
#include "compat.h"

#include "tree_mixed.c"
