/* The same, linked statically: another libc code, no dynamic linker, few gadgets. */
#include "blocked.c"
