/*
 * Reads what waits in a socket without taking it: MSG_PEEK with SO_PEEK_OFF (man 7 socket), which moves along. That
 * offset is a property of the socket, which the target sees, so a process of our own does the peeking, and puts it
 * back even when we are killed meanwhile.
 * Does not handle: packets without bytes in a SOCK_SEQPACKET socket that is shut down.
 */
#include "sk_queue.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "fault.h"
#include "kernel_abi.h"
#include "log.h"
#include "sk-packet.pb-c.h"

#define ROOM (1ul << 30) /* of addresses; memory is taken when packets come */
#define CONTROL 4096 /* bytes of ancillary data of one packet; the most are 253 descriptors (man 7 unix) */

/* A packet in the room: its bytes follow. */
struct peeked {
	size_t len, size; /* bytes of data, of all */
	struct msghdr msg;
	struct sockaddr_un addr;
	_Alignas(16) char control[CONTROL];
	uint8_t data[];
};

struct peek {
	int fd, type;
	uint8_t *room;
	size_t used, n;
	int err;
};

/* Reads the next packet. Returns 0 when there is none, or -errno. */
static int peek_one(struct peek *p)
{
	struct peeked *k = (struct peeked *)(p->room + p->used);
	size_t left = ROOM - p->used - sizeof(*k);
	struct iovec iov = { k->data, left };

	if (p->used + sizeof(*k) + (64ul << 20) > ROOM)
		return -EFBIG;
	k->msg = (struct msghdr){ .msg_name = &k->addr,
				  .msg_namelen = sizeof(k->addr),
				  .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = k->control,
				  .msg_controllen = sizeof(k->control) };
	ssize_t n = recvmsg(p->fd, &k->msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EAGAIN || errno == ENOTCONN || errno == EINVAL ? 0 : -errno;
	if (!n && p->type != SOCK_DGRAM)
		return 0;
	if (k->msg.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	k->len = n;
	k->size = (sizeof(*k) + n + 15) & ~15ul;
	p->used += k->size;
	p->n++;
	return 1;
}

/* Runs in a process of its own with our memory and descriptors. No allocation: our threads may hold locks. */
static int peek_all(void *arg)
{
	struct peek *p = arg;
	int old = -1, start = 0, more = 1;
	socklen_t size = sizeof(old);

	if (getsockopt(p->fd, SOL_SOCKET, SO_PEEK_OFF, &old, &size) ||
	    setsockopt(p->fd, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof(start))) {
		p->err = -errno;
		return 0;
	}
	while (more > 0)
		more = peek_one(p);
	p->err = more;
	if (setsockopt(p->fd, SOL_SOCKET, SO_PEEK_OFF, &old, sizeof(old)) && !p->err)
		p->err = -errno;
	return 0;
}

static int peek_safely(struct peek *p)
{
	_Alignas(16) char stack[16384];
	int status;

	fault_operation();
	pid_t pid = clone(peek_all, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | CLONE_FILES | SIGCHLD, p);
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status ? -EIO : p->err;
}

static int take_rights(struct dump *d, struct dump_file *f, struct sk_packet *packet, const struct cmsghdr *c)
{
	size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	const int *fds = (const int *)CMSG_DATA(c);
	int err = 0;

	packet->files = calloc(n, sizeof(*packet->files));
	for (size_t i = 0; i < n; i++) {
		if (!packet->files || err)
			close(fds[i]);
		else
			err = files_add_in_flight(d, f, fds[i], &packet->files[packet->n_files++]);
	}
	return packet->files || !n ? err : -ENOMEM;
}

static int take_packet(struct dump *d, struct dump_file *f, const struct peeked *k, struct sk_packet *packet)
{
	int err = 0;

	packet->len = k->len;
	packet->data = malloc(k->len + 1);
	if (!packet->data)
		return -ENOMEM;
	memcpy(packet->data, k->data, k->len);
	if (k->msg.msg_namelen > offsetof(struct sockaddr_un, sun_path)) {
		packet->addr_len = k->msg.msg_namelen - offsetof(struct sockaddr_un, sun_path);
		if (packet->addr_len > sizeof(packet->addr))
			packet->addr_len = sizeof(packet->addr);
		memcpy(packet->addr, k->addr.sun_path, packet->addr_len);
	}
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&k->msg); c && !err; c = CMSG_NXTHDR((struct msghdr *)&k->msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_RIGHTS)
			err = take_rights(d, f, packet, c);
		else if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(sizeof(packet->creds)))
			memcpy(&packet->creds, CMSG_DATA(c), sizeof(packet->creds));
		else if (c->cmsg_type == SCM_PIDFD && c->cmsg_len >= CMSG_LEN(sizeof(int)))
			close(*(const int *)CMSG_DATA(c));
	}
	return err;
}

static int take_all(struct dump *d, struct dump_file *f, const struct peek *p)
{
	struct sk_queue *q = calloc(1, sizeof(*q));
	int err = 0;

	if (!q)
		return -ENOMEM;
	q->file = f;
	q->next = d->queues;
	d->queues = q;
	q->list = calloc(p->n, sizeof(*q->list));
	if (!q->list)
		return -ENOMEM;
	for (size_t at = 0; at < p->used && !err;) {
		const struct peeked *k = (const struct peeked *)(p->room + at);

		err = take_packet(d, f, k, &q->list[q->n++]);
		at += k->size;
	}
	return err;
}

/* Whether nothing waits there at all. A peek would tell, too, but move SO_PEEK_OFF where that is in use. */
static bool is_empty(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) <= 0 || !(p.revents & POLLIN);
}

int sk_queue_collect(struct dump *d, struct dump_file *f, int fd, int type)
{
	struct peek p = { .fd = fd, .type = type };

	if (is_empty(fd))
		return 0;
	p.room = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p.room == MAP_FAILED)
		return log_errno(errno, "no room for what waits in fd %d of task %d", f->number, f->pid);
	int err = peek_safely(&p);
	if (!err && p.n)
		err = take_all(d, f, &p);
	munmap(p.room, ROOM);
	return err ? log_errno(-err, "can't read what waits in %s of task %d", f->where, f->pid) : 0;
}

static int write_packet(struct image_writer *w, const struct sk_queue *q, const struct sk_packet *p)
{
	_cleanup_free_ uint32_t *rights = calloc(p->n_files + 1, sizeof(*rights));
	SkPacketEntry e = SK_PACKET_ENTRY__INIT;
	ScmEntry scm = SCM_ENTRY__INIT, *list[] = { &scm };

	if (!rights)
		return log_errno(ENOMEM, "a packet in %s", q->file->where);
	for (size_t i = 0; i < p->n_files; i++)
		rights[i] = p->files[i]->id;
	e.id_for = q->file->id;
	e.length = p->len;
	if (p->n_files) {
		scm.type = SCM_TYPE_RIGHTS;
		scm.n_rights = p->n_files;
		scm.rights = rights;
		e.n_scm = 1;
		e.scm = list;
	}
	e.has_addr = p->addr_len > 0;
	e.addr = (ProtobufCBinaryData){ p->addr_len, (uint8_t *)p->addr };
	e.has_pid = e.has_uid = e.has_gid = p->creds.pid != 0;
	e.pid = p->creds.pid;
	e.uid = p->creds.uid;
	e.gid = p->creds.gid;
	image_put(w, &e.base);
	image_put_bytes(w, p->data, p->len);
	return 0;
}

int sk_queues_write(struct dump *d)
{
	struct image_writer w;
	int err = 0;

	image_create(&w, &d->images, IMG_SK_QUEUES, 0);
	for (const struct sk_queue *q = d->queues; q && !err; q = q->next)
		for (size_t i = 0; i < q->n && !err; i++)
			err = write_packet(&w, q, &q->list[i]);
	int closed = image_close(&w);
	return err ? err : closed;
}

void sk_queues_free(struct dump *d)
{
	for (struct sk_queue *q = d->queues, *next; q; q = next) {
		next = q->next;
		for (size_t i = 0; i < q->n; i++) {
			free(q->list[i].data);
			free(q->list[i].files);
		}
		free(q->list);
		free(q);
	}
	d->queues = NULL;
}
