/*
 * Walking over an image of any kind: its entries and what stands behind some of them. For those who take all
 * kinds alike: ckpt show, the fuzzer, the tests.
 */
#include <errno.h>

#include "image.h"
#include "image_messages.h"

size_t image_value_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return sizeof(uint64_t);
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	case PROTOBUF_C_TYPE_BOOL:
		return sizeof(protobuf_c_boolean);
	default:
		return sizeof(uint32_t);
	}
}

struct walk {
	struct image_reader *r;
	int (*fn)(void *arg, const struct image_item *item);
	void *arg;
};

/* len raw bytes that are part of what the entry announces, then bytes that only fill up to a multiple. */
static int walk_bytes(struct walk *w, const char *what, uint64_t len, unsigned int multiple)
{
	struct image_item item = { .offset = w->r->pos, .behind = true, .what = what, .len = len };
	uint64_t padding = (multiple - len % multiple) % multiple;
	const uint8_t *ignored;
	int err = image_get_bytes(w->r, len, &item.bytes);

	if (!err)
		err = image_get_bytes(w->r, padding, &ignored);
	return err ?: w->fn(w->arg, &item);
}

/* A message behind an entry. *message is to be freed by the caller. Returns 0, or what ends the walk. */
static int walk_message(struct walk *w, const ProtobufCMessageDescriptor *type, ProtobufCMessage **message)
{
	struct image_item item = { .offset = w->r->pos, .behind = true };
	int got = image_get_as(w->r, type, message);

	if (got <= 0)
		return got ?: image_bad(w->r, "a %s is missing at the end", type->name);
	item.message = *message;
	return w->fn(w->arg, &item);
}

#define _cleanup_message_ __attribute__((cleanup(free_message)))

static void free_message(ProtobufCMessage **message)
{
	protobuf_c_message_free_unpacked(*message, NULL);
}

static int behind_pipe_data(struct walk *w, const ProtobufCMessage *message)
{
	return walk_bytes(w, "data", ((const PipeDataEntry *)message)->bytes, 1);
}

static int behind_sk_packet(struct walk *w, const ProtobufCMessage *message)
{
	return walk_bytes(w, "data", ((const SkPacketEntry *)message)->length, 1);
}

static int behind_ipc_shm(struct walk *w, const ProtobufCMessage *message)
{
	const IpcShmEntry *shm = (const IpcShmEntry *)message;

	return shm->has_in_pagemaps && shm->in_pagemaps ? 0 : walk_bytes(w, "data", shm->size, 4);
}

static int behind_ipc_msg(struct walk *w, const ProtobufCMessage *message)
{
	const IpcMsgEntry *queue = (const IpcMsgEntry *)message;

	for (uint32_t i = 0; i < queue->qnum; i++) {
		_cleanup_message_ ProtobufCMessage *msg = NULL;
		int err = walk_message(w, &ipc_msg__descriptor, &msg);

		if (!err)
			err = walk_bytes(w, "text", ((IpcMsg *)msg)->msize, 8);
		if (err)
			return err;
	}
	return 0;
}

static int behind_ipc_sem(struct walk *w, const ProtobufCMessage *message)
{
	return walk_bytes(w, "values", ((const IpcSemEntry *)message)->nsems * 2ull, 8);
}

static int behind_ghost(struct walk *w, const ProtobufCMessage *message)
{
	const GhostFileEntry *ghost = (const GhostFileEntry *)message;

	if (!ghost->has_chunks || !ghost->chunks)
		return walk_bytes(w, "data", w->r->len - w->r->pos, 1);
	while (w->r->pos < w->r->len) {
		_cleanup_message_ ProtobufCMessage *chunk = NULL;
		int err = walk_message(w, &ghost_chunk_entry__descriptor, &chunk);

		if (!err)
			err = walk_bytes(w, "data", ((GhostChunkEntry *)chunk)->len, 1);
		if (err)
			return err;
	}
	return 0;
}

static int behind_tcp(struct walk *w, const ProtobufCMessage *message)
{
	const TcpStreamEntry *tcp = (const TcpStreamEntry *)message;
	int err = walk_bytes(w, "inq", tcp->inq_len, 1);

	return err ?: walk_bytes(w, "outq", tcp->outq_len, 1);
}

static int behind_bpfmap(struct walk *w, const ProtobufCMessage *message)
{
	const BpfmapDataEntry *map = (const BpfmapDataEntry *)message;
	int err = walk_bytes(w, "keys", map->keys_bytes, 1);

	return err ?: walk_bytes(w, "values", map->values_bytes, 1);
}

static int (*const behind[IMG_KINDS])(struct walk *w, const ProtobufCMessage *message) = {
	[IMG_PIPES_DATA] = behind_pipe_data, [IMG_FIFO_DATA] = behind_pipe_data, [IMG_SK_QUEUES] = behind_sk_packet,
	[IMG_IPCNS_SHM] = behind_ipc_shm,    [IMG_IPCNS_MSG] = behind_ipc_msg,	 [IMG_IPCNS_SEM] = behind_ipc_sem,
	[IMG_GHOST_FILE] = behind_ghost,     [IMG_TCP_STREAM] = behind_tcp,	 [IMG_BPFMAP_DATA] = behind_bpfmap,
};

int image_walk(struct image_reader *r, int (*fn)(void *arg, const struct image_item *item), void *arg)
{
	struct walk w = { r, fn, arg };
	bool one = image_info[r->kind].shape == IMAGE_ONE;

	if (image_info[r->kind].shape == IMAGE_RAW)
		return 0;
	for (unsigned int entries = 0;; entries++) {
		_cleanup_message_ ProtobufCMessage *message = NULL;
		struct image_item item = { .offset = r->pos };
		int err = image_get(r, &message);

		if (err <= 0)
			return err ?: one && entries != 1 ? image_bad(r, "%u entries instead of one", entries) : 0;
		item.message = message;
		err = fn(arg, &item);
		if (!err && behind[r->kind])
			err = behind[r->kind](&w, message);
		if (err)
			return err;
	}
}
