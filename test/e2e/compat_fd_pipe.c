/* fd_pipe.c as a 32-bit program. */
#include "compat.h"

#include "fd_pipe.c"
