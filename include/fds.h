/* Descriptors that go through UNIX sockets (SCM_RIGHTS, unix(7)). */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define FDS_MAX 8 /* descriptors of a message */

/* Sends a message with n descriptors, or none. A peer that is gone is -EPIPE, without a signal. Returns 0 or -errno. */
int fds_send(int sock, const void *data, size_t len, const int *fds, size_t n);

/*
 * Waits for a message, which must not be longer than len, with at most n descriptors; those that did not come are -1.
 * They are the caller's and close when a program is executed. Returns its bytes, 0 at the end, or -errno: -EMFILE
 * when we have no room for a descriptor, -EBADMSG when it is longer, or has more of them.
 */
ssize_t fds_receive(int sock, void *data, size_t len, int *fds, size_t n);
