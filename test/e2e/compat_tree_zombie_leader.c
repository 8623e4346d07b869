/* tree_zombie_leader.c as a 32-bit program. */
#include "compat.h"

#include "tree_zombie_leader.c"
