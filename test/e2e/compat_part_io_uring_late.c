/* part_io_uring_late.c as a 32-bit program. */
#include "compat.h"

#include "part_io_uring_late.c"
