/* Included first by programs that are built as 32-bit ones. Where there is no compiler for these they are skipped. */
#ifndef E2E_COMPAT_H
#define E2E_COMPAT_H

#ifdef NO_COMPAT
#include "e2e.h"

int main(void)
{
	skip("no compiler for 32-bit programs (gcc-multilib)");
}

int compat_main(int argc, char **argv);
#define main compat_main
#else
#define _FILE_OFFSET_BITS 64
#endif

#endif
