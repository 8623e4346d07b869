/* What sock_diag(7) says of UNIX sockets during a dump (sk_diag.c). */
#ifndef CKPT_SK_DIAG_H
#define CKPT_SK_DIAG_H

#include <stdint.h>

struct dump;
struct unix_diag;

/* Asks for the UNIX socket of an inode. Returns what is valid until the next call, or NULL with errno. */
const struct unix_diag *sk_diag_unix(struct dump *d, uint32_t ino);
void sk_diag_free(struct dump *d);

#endif
