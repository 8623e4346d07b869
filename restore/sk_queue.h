/* Packets that wait in sockets (sk-queues.img). */
#ifndef CKPT_RESTORE_SK_QUEUE_H
#define CKPT_RESTORE_SK_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sk-packet.pb-c.h"

struct plan;
struct plan_file;

struct sk_packet {
	const SkPacketEntry *entry;
	const uint8_t *data;
	size_t n_files;
	struct plan_file **files; /* of SCM_RIGHTS */
};

struct sk_queues {
	size_t n;
	struct sk_packet *list; /* in the order of the image */
};

/* Reads the image into plan->queues. Returns 0 or -errno (logged). */
int sk_queues_read(struct plan *plan);
/* Finds the files in flight in packets for this socket. Refuses what files.img does not have. */
int sk_queue_resolve(struct plan *plan, const struct plan_file *file);
/* As reach of struct restore_fd_kind: all files in flight must be there where the packets are sent. */
bool sk_queue_reach(struct plan *plan, const struct plan_file *file);
/* The next packet for the socket, the first after NULL; NULL at the end. */
const struct sk_packet *sk_queue_next(const struct plan *plan, const struct plan_file *file,
				      const struct sk_packet *packet);
/*
 * Sends it through a socket fd, to an address or, when addr is NULL, to its peer. Returns 0 or -errno (logged).
 */
struct sockaddr_un;
int sk_packet_send(const struct plan_file *file, const struct sk_packet *packet, int fd, const struct sockaddr_un *addr,
		   size_t addr_len);

#endif
