/* syscall_restart.c as a 32-bit program. */
#include "compat.h"

#include "syscall_restart.c"
