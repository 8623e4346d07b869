/* call_epoll_wait.c as a 32-bit program. */
#include "compat.h"

#include "call_epoll_wait.c"
