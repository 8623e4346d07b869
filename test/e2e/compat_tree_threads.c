/* tree_threads.c as a 32-bit program. */
#include "compat.h"

#include "tree_threads.c"
