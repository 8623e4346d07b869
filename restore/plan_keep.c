/*
 * Copies messages from where protobuf-c unpacked them into memory that fork does not copy (plan->fixed). Unpacking
 * takes several times as much as remains, and the same memory serves for the next message.
 */
#include "plan.h"

#include <errno.h>
#include <string.h>

static void *copy_message(struct plan *plan, const ProtobufCMessage *m);

static void *copy_bytes(struct plan *plan, const void *bytes, size_t size)
{
	void *copy = plan_alloc_fixed(plan, size);

	return copy ? memcpy(copy, bytes, size) : NULL;
}

/* What stands at "at" was copied as it is: copies what it points to. Returns false when memory is short. */
static bool copy_pointed(struct plan *plan, const ProtobufCFieldDescriptor *f, void *at)
{
	ProtobufCBinaryData *bytes = at;
	void **pointer = at;

	if (f->type == PROTOBUF_C_TYPE_BYTES) {
		if (bytes->len)
			bytes->data = copy_bytes(plan, bytes->data, bytes->len);
		return !bytes->len || bytes->data;
	}
	if ((f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_MESSAGE) || !*pointer)
		return true;
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		*pointer = copy_message(plan, *pointer);
	else
		*pointer = copy_bytes(plan, *pointer, strlen(*pointer) + 1);
	return *pointer;
}

static bool copy_list(struct plan *plan, const ProtobufCFieldDescriptor *f, void **list, size_t n)
{
	size_t size = image_value_size(f->type);
	uint8_t *copy = n ? copy_bytes(plan, *list, n * size) : NULL;

	*list = copy;
	for (size_t i = 0; copy && i < n; i++)
		if (!copy_pointed(plan, f, copy + i * size))
			return false;
	return copy || !n;
}

static void *copy_message(struct plan *plan, const ProtobufCMessage *m)
{
	ProtobufCMessage *copy = copy_bytes(plan, m, m->descriptor->sizeof_message);

	if (!copy)
		return NULL;
	copy->n_unknown_fields = 0;
	copy->unknown_fields = NULL;
	for (unsigned int i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		void *at = (uint8_t *)copy + f->offset, *quantifier = (uint8_t *)copy + f->quantifier_offset;

		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			if (!copy_list(plan, f, at, *(size_t *)quantifier))
				return NULL;
		} else if (!(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) || *(uint32_t *)quantifier == f->id) {
			if (!copy_pointed(plan, f, at))
				return NULL;
		}
	}
	return copy;
}

int plan_keep(struct plan *plan, void *message)
{
	ProtobufCMessage **m = message;
	ProtobufCMessage *copy = copy_message(plan, *m);

	protobuf_c_message_free_unpacked(*m, NULL);
	*m = copy;
	return copy ? 0 : -ENOMEM;
}
