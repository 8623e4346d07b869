/* Packets that nobody had read are sent again, with the descriptors in them. */
#include "sk_queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "plan.h"

#define RIGHTS_MAX 253 /* descriptors in one packet (man 7 unix) */

static int add_packet(struct plan *plan, struct image_reader *r, const void *entry, void *element)
{
	const SkPacketEntry *e = entry;
	struct sk_packet *p = element;
	const uint8_t *bytes;
	int err = image_get_bytes(r, e->length, &bytes);

	if (err)
		return err;
	uint8_t *data = plan_alloc_fixed(plan, e->length + 1);
	if (!data)
		return -ENOMEM;
	memcpy(data, bytes, e->length);
	*p = (struct sk_packet){ .entry = e, .data = data };
	return 0;
}

int sk_queues_read(struct plan *plan)
{
	struct sk_queues *q = plan_alloc(plan, sizeof(*q));

	plan->queues = q;
	return q ? plan_read_with_bytes(plan, IMG_SK_QUEUES, sizeof(*q->list), add_packet, &q->list, &q->n) : -ENOMEM;
}

static struct sk_packet *next_packet(const struct plan *plan, const struct plan_file *file, const struct sk_packet *p)
{
	const struct sk_queues *q = plan->queues;

	for (size_t i = p ? p - q->list + 1 : 0; q && i < q->n; i++)
		if (q->list[i].entry->id_for == file->id)
			return &q->list[i];
	return NULL;
}

const struct sk_packet *sk_queue_next(const struct plan *plan, const struct plan_file *file,
				      const struct sk_packet *packet)
{
	return next_packet(plan, file, packet);
}

static int resolve_packet(struct plan *plan, const struct plan_file *file, struct sk_packet *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->entry->n_scm; i++)
		n += p->entry->scm[i]->n_rights;
	if (p->entry->addr.len > sizeof(((struct sockaddr_un *)0)->sun_path) || n > RIGHTS_MAX) {
		plan_refuse(plan, "sk-queues.img: a packet for socket 0x%x has a sender or descriptors out of range",
			    file->id);
		return 0;
	}
	p->files = plan_alloc(plan, n * sizeof(*p->files));
	if (!p->files)
		return -ENOMEM;
	for (size_t i = 0; i < p->entry->n_scm; i++) {
		const ScmEntry *scm = p->entry->scm[i];

		if (scm->type != SCM_TYPE_RIGHTS)
			plan_refuse(plan, "sk-queues.img: a packet for socket 0x%x has ancillary data of type %u",
				    file->id, scm->type);
		for (size_t j = 0; j < scm->n_rights; j++) {
			struct plan_file *in_flight = plan_file_by_id(plan, scm->rights[j]);

			if (in_flight && in_flight->late)
				plan_refuse(plan,
					    "sk-queues.img: file 0x%x, in flight to socket 0x%x, refers to a task that "
					    "does not exist when the queue is filled: not supported yet",
					    scm->rights[j], file->id);
			if (in_flight && in_flight->kind)
				p->files[p->n_files++] = in_flight;
			else
				plan_refuse(plan,
					    "sk-queues.img: file 0x%x, in flight to socket 0x%x, is %s; empty the "
					    "queue before the dump, or restore with CRIU",
					    scm->rights[j], file->id,
					    in_flight ? "of a kind that is not supported yet" : "not in files.img");
		}
	}
	return 0;
}

int sk_queue_resolve(struct plan *plan, const struct plan_file *file)
{
	int err = 0;

	for (struct sk_packet *p = next_packet(plan, file, NULL); p && !err; p = next_packet(plan, file, p))
		err = resolve_packet(plan, file, p);
	return err;
}

bool sk_queue_reach(struct plan *plan, const struct plan_file *file)
{
	bool moved = false;

	for (const struct sk_packet *p = next_packet(plan, file, NULL); p; p = next_packet(plan, file, p)) {
		for (size_t i = 0; i < p->n_files; i++) {
			struct plan_file *with = p->files[i]->with;
			struct plan_task *owner = plan_common_ancestor(with->owner, file->with->owner);

			plan_check_file(plan, p->files[i]);
			moved |= with->owner != owner;
			with->owner = owner;
		}
	}
	return moved;
}

static void put_creds(struct cmsghdr *c, const SkPacketEntry *e)
{
	struct ucred creds = { e->pid, e->uid, e->gid };

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(creds));
	memcpy(CMSG_DATA(c), &creds, sizeof(creds));
}

static void put_rights(struct cmsghdr *c, const struct sk_packet *packet)
{
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(packet->n_files * sizeof(int));
	for (size_t i = 0; i < packet->n_files; i++)
		memcpy(CMSG_DATA(c) + i * sizeof(int), &packet->files[i]->fd, sizeof(int));
}

/* What travels beside the data. Returns its bytes. */
static size_t fill_control(void *control, const struct sk_packet *packet, bool creds)
{
	struct cmsghdr *c = control;
	size_t len = 0;

	if (packet->n_files) {
		put_rights(c, packet);
		len = CMSG_SPACE(packet->n_files * sizeof(int));
	}
	if (creds) {
		put_creds((struct cmsghdr *)((char *)control + len), packet->entry);
		len += CMSG_SPACE(sizeof(struct ucred));
	}
	return len;
}

/* The rest of a packet for a stream, which may take less at a time; descriptors went with its first byte. */
static int send_rest(const struct plan_file *file, int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = send(fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0)
			return log_errno(errno, "can't put %zu bytes back into the queue of socket 0x%x", len,
					 file->id);
		data += n;
		len -= n;
	}
	return 0;
}

int sk_packet_send(const struct plan_file *file, const struct sk_packet *packet, int fd, const struct sockaddr_un *addr,
		   size_t addr_len)
{
	_Alignas(16) char control[CMSG_SPACE(RIGHTS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] = {};
	struct iovec iov = { (void *)packet->data, packet->entry->length };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	bool creds = packet->entry->has_pid && packet->entry->pid;

	m.msg_name = (void *)addr;
	m.msg_namelen = addr ? addr_len : 0;
	for (;;) {
		m.msg_controllen = fill_control(control, packet, creds);
		ssize_t n = sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n >= 0)
			return send_rest(file, fd, packet->data + n, packet->entry->length - n);
		if (errno != ESRCH || !creds)
			return log_errno(errno, "can't put %zu bytes back into the queue of socket 0x%x", iov.iov_len,
					 file->id);
		log_info("a packet for socket 0x%x came from process %u, which is not there: it comes from %d now",
			 file->id, packet->entry->pid, getpid());
		creds = false;
	}
}
