/* Packets that wait in sockets to be read (sk-queues.img), with the descriptors that travel in them. */
#ifndef CKPT_SK_QUEUE_H
#define CKPT_SK_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct dump;
struct dump_file;

struct sk_packet {
	size_t len;
	uint8_t *data;
	size_t n_files;
	struct dump_file **files; /* of SCM_RIGHTS */
	struct ucred creds; /* of the sender, where the socket asked for them; pid 0: it did not */
	size_t addr_len; /* of the sender's address behind its family; 0: it has none */
	char addr[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/* The packets of one socket. */
struct sk_queue {
	struct sk_queue *next;
	const struct dump_file *file;
	size_t n;
	struct sk_packet *list; /* in the order in which they will be read */
};

/*
 * Reads all packets without taking them, through our own duplicate fd of the socket, and makes the files known that
 * are in flight in them. The queue belongs to d->queues. Returns 0 or -errno (logged).
 */
int sk_queue_collect(struct dump *d, struct dump_file *f, int fd, int type);
/* Writes sk-queues.img. Returns 0 or -errno (logged). */
int sk_queues_write(struct dump *d);
void sk_queues_free(struct dump *d);

#endif
