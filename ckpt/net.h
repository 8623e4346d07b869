/* Connections of page servers and their clients, over TCP. All wait until all is done, signals notwithstanding. */
#ifndef CKPT_NET_H
#define CKPT_NET_H

#include <stdbool.h>
#include <stddef.h>

struct opts;

/*
 * The socket of --ps-socket, or one that listens on --address (all, if there is none) and --port. Returns it, with
 * *connected set when nobody needs to be waited for, or -errno (logged).
 */
int net_listen(const struct opts *opts, bool *connected);
/* Waits for a client. Returns the connection or -errno (logged). */
int net_accept(int listener);
/* Connects to --address (this machine, if there is none) and --port. Returns the connection or -errno (logged). */
int net_connect(const struct opts *opts);

/* Sends it all. Returns 0 or -errno (logged). more: something follows right away. */
int net_send(int fd, const void *bytes, size_t len, bool more);
/* Receives exactly len bytes. Returns 0, -ENODATA (not logged: the end, before the first byte) or -errno (logged). */
int net_receive(int fd, void *bytes, size_t len);

/* Tells who waits at --status-fd. Returns 0 or -errno (logged). */
int net_tell_status(const struct opts *opts);
/* A server is ready: tells who waits at --status-fd, and writes --pidfile. Returns 0 or -errno (logged). */
int net_tell_ready(const struct opts *opts);
/*
 * Goes to the background, if --daemon asks for it: returns in a child, while this process ends with success. Returns 0
 * or -errno (logged).
 */
int net_daemonize(const struct opts *opts);

#endif
