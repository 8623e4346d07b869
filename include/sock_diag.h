/* What sock_diag(7) says about sockets of our network namespace. */
#ifndef CKPT_SOCK_DIAG_H
#define CKPT_SOCK_DIAG_H

#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#define DIAG_ICONS 4096 /* most that a backlog can hold by default: net.core.somaxconn */

struct unix_diag {
	uint8_t type, state; /* SOCK_*, TCP_* */
	uint8_t shutdown; /* bit 0: receiving, bit 1: sending */
	uint32_t ino, peer; /* inodes; 0: none */
	uint32_t rqueue, wqueue; /* bytes; of listening sockets: connections that wait, most that may */
	size_t name_len; /* of the address behind its family */
	char name[sizeof(((struct sockaddr_un *)0)->sun_path)];
	size_t n_icons; /* clients that wait to be accepted: inodes, 0 for those that are gone */
	uint32_t icons[DIAG_ICONS];
};

/* Opens a netlink socket for the questions. Returns the descriptor or -errno (not logged). */
int sock_diag_open(void);
/* Asks for the UNIX socket of an inode. Returns 0 or -errno (not logged); -ENOENT: there is none here. */
int sock_diag_unix(int fd, uint32_t ino, struct unix_diag *diag);
/*
 * Calls fn for each UNIX socket; some may be missing when others come and go meanwhile. Returns 0, -errno (not logged),
 * or what fn returned if that is not 0.
 */
int sock_diag_unix_all(int fd, int (*fn)(const struct unix_diag *diag, void *arg), void *arg);
/* Reads one answer of len bytes. Returns 0, or -EBADMSG. */
int sock_diag_parse_unix(const void *answer, size_t len, struct unix_diag *diag);

#endif
