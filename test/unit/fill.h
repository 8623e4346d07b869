/* Messages with all fields set, and images of them: input for tests and for the fuzzer. */
#ifndef TEST_FILL_H
#define TEST_FILL_H

#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "image_messages.h"

#define FILL_NUMBER 2 /* what each number is; payloads are as long */
#define FILL_REPEAT 2 /* elements of each list */
#define FILL_DEPTH 6 /* of messages that hold themselves */

static inline ProtobufCMessage *fill_message(const ProtobufCMessageDescriptor *type, int depth);

static inline void fill_value(const ProtobufCFieldDescriptor *f, void *at, int depth)
{
	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		*(ProtobufCMessage **)at = fill_message(f->descriptor, depth + 1);
		break;
	case PROTOBUF_C_TYPE_STRING:
		*(char **)at = strdup("text");
		break;
	case PROTOBUF_C_TYPE_BYTES:
		*(ProtobufCBinaryData *)at = (ProtobufCBinaryData){ 4, (uint8_t *)strdup("data") };
		break;
	case PROTOBUF_C_TYPE_BOOL:
		*(protobuf_c_boolean *)at = 1;
		break;
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
		*(uint64_t *)at = FILL_NUMBER;
		break;
	default:
		*(uint32_t *)at = FILL_NUMBER;
	}
}

static inline void fill_list(const ProtobufCFieldDescriptor *f, char *message, int depth)
{
	size_t size = f->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : 8;
	char *values;

	if (f->type == PROTOBUF_C_TYPE_MESSAGE && depth >= FILL_DEPTH)
		return;
	if (f->type != PROTOBUF_C_TYPE_BYTES && f->type != PROTOBUF_C_TYPE_STRING &&
	    f->type != PROTOBUF_C_TYPE_MESSAGE && f->type != PROTOBUF_C_TYPE_INT64 &&
	    f->type != PROTOBUF_C_TYPE_SINT64 && f->type != PROTOBUF_C_TYPE_SFIXED64 &&
	    f->type != PROTOBUF_C_TYPE_UINT64 && f->type != PROTOBUF_C_TYPE_FIXED64)
		size = f->type == PROTOBUF_C_TYPE_BOOL ? sizeof(protobuf_c_boolean) : 4;
	values = calloc(FILL_REPEAT, size);
	for (int i = 0; i < FILL_REPEAT; i++)
		fill_value(f, values + i * size, depth);
	*(size_t *)(message + f->quantifier_offset) = FILL_REPEAT;
	*(char **)(message + f->offset) = values;
}

/* The caller frees it with protobuf_c_message_free_unpacked. */
static inline ProtobufCMessage *fill_message(const ProtobufCMessageDescriptor *type, int depth)
{
	ProtobufCMessage *message = calloc(1, type->sizeof_message);

	protobuf_c_message_init(type, message);
	for (unsigned int i = 0; i < type->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &type->fields[i];
		char *base = (char *)message;

		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			fill_list(f, base, depth);
			continue;
		}
		if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_STRING &&
		    f->type != PROTOBUF_C_TYPE_MESSAGE)
			*(protobuf_c_boolean *)(base + f->quantifier_offset) = 1;
		fill_value(f, base + f->offset, depth);
	}
	return message;
}

static inline void fill_put(struct image_writer *w, const ProtobufCMessageDescriptor *type)
{
	ProtobufCMessage *message = fill_message(type, 0);

	image_put(w, message);
	protobuf_c_message_free_unpacked(message, NULL);
}

/* What stands behind an entry all of whose numbers are FILL_NUMBER. */
static inline void fill_payload(struct image_writer *w, enum image_kind kind)
{
	switch (kind) {
	case IMG_PIPES_DATA:
	case IMG_FIFO_DATA:
	case IMG_SK_QUEUES:
		image_put_bytes(w, "ab", 2);
		break;
	case IMG_TCP_STREAM:
	case IMG_BPFMAP_DATA:
		image_put_bytes(w, "abcd", 4);
		break;
	case IMG_IPCNS_SEM:
		image_put_bytes(w, "abcdefgh", 8);
		break;
	case IMG_IPCNS_MSG:
		for (int i = 0; i < FILL_NUMBER; i++) {
			fill_put(w, &ipc_msg__descriptor);
			image_put_bytes(w, "abcdefgh", 8);
		}
		break;
	case IMG_GHOST_FILE:
		fill_put(w, &ghost_chunk_entry__descriptor);
		image_put_bytes(w, "ab", 2);
		break;
	default:
		break;
	}
}

/* Makes an image of the kind in w->buf and w->len, which the caller frees. */
static inline void fill_image(struct image_writer *w, enum image_kind kind)
{
	enum image_shape shape = image_info[kind].shape;

	image_create(w, NULL, kind, 0);
	if (shape == IMAGE_RAW)
		return;
	if (shape == IMAGE_HEAD)
		fill_put(w, &pagemap_head__descriptor);
	for (int i = 0; i < (shape == IMAGE_ONE ? 1 : FILL_REPEAT); i++) {
		fill_put(w, image_info[kind].entry);
		fill_payload(w, kind);
	}
}

#endif
