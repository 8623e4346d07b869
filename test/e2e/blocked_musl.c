/* The same with musl, another C library, linked statically. */
#ifdef NO_MUSL
#include "e2e.h"

int main(void)
{
	skip("there is no musl-gcc (package musl-tools)");
}
#else
#include "blocked.c"
#endif
