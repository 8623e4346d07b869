/* fd_io_uring.c as a 32-bit program. */
#include "compat.h"

#include "fd_io_uring.c"
