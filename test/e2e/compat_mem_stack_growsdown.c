/* mem_stack_growsdown.c as a 32-bit program. */
#include "compat.h"

#include "mem_stack_growsdown.c"
