/* UNIX sockets, between fd_sk_unix.c (what belongs together) and sk_unix_bind.c (names). */
#ifndef CKPT_RESTORE_SK_UNIX_H
#define CKPT_RESTORE_SK_UNIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sk-unix.pb-c.h"

struct plan;
struct plan_file;

struct sk_unix {
	const UnixSkEntry *entry;
	struct plan_file *peer; /* NULL: none; of who waits to be accepted, the listening socket */
	struct plan_file *listener; /* whose name it got when it was accepted; itself when it is bound on its own */
	bool absent; /* its file was not there when we looked */
	bool external; /* outside the images: others connect to its name */
	bool cut_off; /* its other end was outside the images and has no name */
	bool fresh; /* made by socketpair(2), and nothing was set since but SO_PASSCRED, if that is to be */
	int other; /* the end of a connection whose holder is gone; -1 */
};

/* Whom SO_PEERCRED names. */
struct sk_unix_cred {
	pid_t pid; /* 0: it does not matter */
	uid_t uid;
	gid_t gid;
};

/* Whoever we are. sk_unix_cred.c */
struct sk_unix_cred sk_unix_self(void);
/* As the image says, or whoever we are. */
struct sk_unix_cred sk_unix_recorded(const UnixSkEntry *e);
/* The first task that holds the file, as it shall become. */
struct sk_unix_cred sk_unix_holder(const struct plan *plan, const struct plan_file *file);
/* As reach of struct restore_fd_kind: who is named must not be born yet when the socket is made, or make it. */
bool sk_unix_cred_reach(const struct plan *plan, struct plan_file *file, const UnixSkEntry *e);
/* Makes a system call as that one, or, when its number is taken, with its ids only. Returns 0 or -errno (not logged).
 */
int sk_unix_call_as(struct plan *plan, struct sk_unix_cred who, long nr, const uint64_t args[4]);
/* The address of the socket. Returns its length. */
socklen_t sk_unix_address(const UnixSkEntry *e, struct sockaddr_un *addr);
/* Whether the name is the path of a file. */
bool sk_unix_has_path(const UnixSkEntry *e);
/* Looks whether the socket can be bound again: its file may not belong to somebody else now. */
void sk_unix_check_name(struct plan *plan, const struct plan_file *file, struct sk_unix *u);
/* Gives fd the name of the entry. A path gets its file, but that of a socket whose file was deleted, or when hidden,
 * is nowhere to be seen. Returns 0 or -errno (logged). */
int sk_unix_bind(const struct plan_file *file, const struct sk_unix *u, int fd, bool hidden);
/* Owner, mode and place of its file, when nobody has to find it by its name any more. Returns 0 or -errno (logged). */
int sk_unix_place_file(const struct plan_file *file, const struct sk_unix *u);
/* An address by which fd can be reached wherever its file is. *hold is to be closed afterwards. Returns its length, or
 * -errno (logged). */
int sk_unix_reach_address(const struct plan_file *file, int fd, struct sockaddr_un *addr, int *hold);
/* After a failed restore: removes its file, if there was none before. */
void sk_unix_remove_file(const struct sk_unix *u);

#endif
