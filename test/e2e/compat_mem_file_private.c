/* mem_file_private.c as a 32-bit program. */
#include "compat.h"

#include "mem_file_private.c"
