/*
 * Any protobuf message as text or JSON, by the descriptor that protobuf-c generates. Only how a number is best
 * written for people (addresses and masks in hex, modes in octal, bits by name) needs to know fields.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "show.h"

#define BYTES_SHOWN 64 /* of a bytes field, in text */

enum base { DECIMAL, HEX, OCTAL };

struct bit_name {
	uint64_t bit;
	const char *name;
};

static const struct bit_name area_bits[] = {
	{ 0x1, "REGULAR" },	 { 0x2, "STACK" },	   { 0x4, "VSYSCALL" },
	{ 0x8, "VDSO" },	 { 0x20, "HEAP" },	   { 0x40, "FILE_PRIVATE" },
	{ 0x80, "FILE_SHARED" }, { 0x100, "ANON_SHARED" }, { 0x200, "ANON_PRIVATE" },
	{ 0x400, "SYSVIPC" },	 { 0x800, "SOCKET" },	   { 0x1000, "VVAR" },
	{ 0x2000, "AIORING" },	 { 0x4000, "MEMFD" },	   { 0x8000, "SHSTK" },
	{ 0x10000, "GUARD" },	 { 0x20000, "UPROBES" },   { 0 },
};

static const struct bit_name prot_bits[] = { { 1, "READ" }, { 2, "WRITE" }, { 4, "EXEC" }, { 0 } };
static const struct bit_name map_bits[] = {
	{ 1, "SHARED" },	{ 2, "PRIVATE" },     { 0x10, "FIXED" },      { 0x20, "ANONYMOUS" },
	{ 0x100, "GROWSDOWN" }, { 0x2000, "LOCKED" }, { 0x40000, "HUGETLB" }, { 0 },
};
static const struct bit_name page_bits[] = { { 1, "PARENT" }, { 2, "LAZY" }, { 4, "PRESENT" }, { 0 } };

static const struct bit_name states[] = {
	{ 1, "ALIVE" }, { 2, "DEAD" }, { 3, "STOPPED" }, { 6, "ZOMBIE" }, { 0x80, "HELPER" }, { 0 },
};

/* Where numbers have names: that of each bit, or that of the whole. */
static const struct {
	const char *message, *field;
	const struct bit_name *names;
	bool whole;
} named_numbers[] = {
	{ "vma_entry", "status", area_bits },
	{ "vma_entry", "prot", prot_bits },
	{ "vma_entry", "flags", map_bits },
	{ "pagemap_entry", "flags", page_bits },
	{ "task_core_entry", "task_state", states, true },
};

static const char *const hex_fields[] = {
	"start",
	"end",
	"pgoff",
	"vaddr",
	"ss_sp",
	"futex_rla",
	"clear_tid_addr",
	"sigaction",
	"restorer",
	"mask",
	"mask_extended",
	"blk_sigset",
	"sigmask",
	"blk_sigset_extended",
	"sival_ptr",
	"map_extra",
	"flags",
	"fdflags",
	"mm_saved_auxv",
	"dev",
	"rdev",
	"s_dev",
	"root_dev",
	"cap_inh",
	"cap_prm",
	"cap_eff",
	"cap_bnd",
	"cap_amb",
	"rseq_abi_pointer",
	"rseq_cs_pointer",
	"signature",
	"capability",
	"opt_mask",
	"handle",
	"base_addr",
	"personality",
	"status",
	"xfeatures_mask",
	"madv",
	"so_filter",
	"mflags",
};

static enum base base_of(const ProtobufCMessageDescriptor *type, const char *field)
{
	if (!strncmp(type->name, "user_x86_", 9) || (!strncmp(field, "mm_", 3) && strcmp(field, "mm_id")))
		return HEX;
	if (!strcmp(field, "mode") || !strcmp(field, "umask"))
		return OCTAL;
	for (size_t i = 0; i < sizeof(hex_fields) / sizeof(hex_fields[0]); i++)
		if (!strcmp(field, hex_fields[i]))
			return HEX;
	return DECIMAL;
}

const char *enum_word(const ProtobufCEnumDescriptor *type, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(type, value);

	return v ? v->name : NULL;
}

static bool is_signed(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_ENUM:
		return true;
	default:
		return false;
	}
}

static int64_t load_signed(ProtobufCType type, const void *at)
{
	return image_value_size(type) == 8 ? *(const int64_t *)at : *(const int32_t *)at;
}

static uint64_t load_unsigned(ProtobufCType type, const void *at)
{
	return image_value_size(type) == 8 ? *(const uint64_t *)at : *(const uint32_t *)at;
}

/* Writes a number, an enum's word, a bool. Words are quoted in JSON. */
static void format_scalar(char *buf, size_t size, const struct show_out *out, const ProtobufCFieldDescriptor *f,
			  enum base base, const void *at)
{
	const char *word;

	switch (f->type) {
	case PROTOBUF_C_TYPE_BOOL:
		snprintf(buf, size, "%s", *(const protobuf_c_boolean *)at ? "true" : "false");
		return;
	case PROTOBUF_C_TYPE_FLOAT:
		snprintf(buf, size, "%g", *(const float *)at);
		return;
	case PROTOBUF_C_TYPE_DOUBLE:
		snprintf(buf, size, "%g", *(const double *)at);
		return;
	case PROTOBUF_C_TYPE_ENUM:
		word = enum_word(f->descriptor, *(const int *)at);
		if (word) {
			snprintf(buf, size, out->json ? "\"%s\"" : "%s", word);
			return;
		}
		break;
	default:
		break;
	}
	if (out->json)
		base = DECIMAL;
	if (base == DECIMAL && is_signed(f->type))
		snprintf(buf, size, "%" PRId64, load_signed(f->type, at));
	else if (base == DECIMAL)
		snprintf(buf, size, "%" PRIu64, load_unsigned(f->type, at));
	else
		snprintf(buf, size, base == HEX ? "0x%" PRIx64 : "0%" PRIo64, load_unsigned(f->type, at));
}

/* Appends the names that a number has, if any. */
static void append_names(char *buf, size_t size, const char *message, const ProtobufCFieldDescriptor *f, const void *at)
{
	for (size_t i = 0; i < sizeof(named_numbers) / sizeof(named_numbers[0]); i++) {
		if (strcmp(named_numbers[i].message, message) || strcmp(named_numbers[i].field, f->name))
			continue;
		uint64_t number = load_unsigned(f->type, at);
		for (const struct bit_name *n = named_numbers[i].names; n->bit; n++)
			if (named_numbers[i].whole ? number == n->bit : number & n->bit)
				snprintf(buf + strlen(buf), size - strlen(buf), " %s", n->name);
	}
	if (!strcmp(message, "rlimit_entry") && load_unsigned(f->type, at) == UINT64_MAX)
		snprintf(buf, size, "unlimited");
}

static void show_scalar(struct show_out *out, const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *f,
			const void *at)
{
	char buf[256];

	format_scalar(buf, sizeof(buf), out, f, base_of(type, f->name), at);
	if (!out->json)
		append_names(buf, sizeof(buf), type->name, f, at);
	out_value(out, f->name, "%s", buf);
}

/* Numbers on one line; many equal ones in a row are counted, in text. */
static void show_scalars(struct show_out *out, const ProtobufCMessageDescriptor *type,
			 const ProtobufCFieldDescriptor *f, size_t count, const char *at)
{
	size_t size = image_value_size(f->type), line_size = 0;
	_cleanup_free_ char *line = NULL;
	FILE *stream = open_memstream(&line, &line_size);
	char buf[64];

	if (!stream)
		return;
	for (size_t i = 0, same; i < count; i += same) {
		for (same = 1; i + same < count && !memcmp(at + i * size, at + (i + same) * size, size);)
			same++;
		format_scalar(buf, sizeof(buf), out, f, base_of(type, f->name), at + i * size);
		if (out->json || same < 4)
			same = 1;
		fprintf(stream, "%s%s", !i ? "" : out->json ? ", " : " ", buf);
		if (same > 1)
			fprintf(stream, " (%zu times)", same);
	}
	fclose(stream);
	out_value(out, f->name, out->json ? "[%s]" : "%s", line);
}

/* One value of any type. index is its place in a list. */
static void show_value(struct show_out *out, const ProtobufCMessageDescriptor *type, const ProtobufCFieldDescriptor *f,
		       const void *at, long index)
{
	const char *name = out->json && index != NO_INDEX ? NULL : f->name;

	switch (f->type) {
	case PROTOBUF_C_TYPE_MESSAGE:
		out_object(out, f->name, index);
		show_message(out, *(ProtobufCMessage *const *)at);
		out_object_end(out);
		break;
	case PROTOBUF_C_TYPE_STRING:
		out_string(out, name, *(char *const *)at ?: "");
		break;
	case PROTOBUF_C_TYPE_BYTES: {
		const ProtobufCBinaryData *bytes = at;

		out_bytes(out, name, bytes->data, bytes->len, out->json ? SIZE_MAX : BYTES_SHOWN);
		break;
	}
	default:
		show_scalar(out, type, f, at);
	}
}

static bool is_pointer(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_MESSAGE || type == PROTOBUF_C_TYPE_STRING;
}

static void show_field(struct show_out *out, const ProtobufCMessage *message, const ProtobufCFieldDescriptor *f)
{
	const char *base = (const char *)message, *at = base + f->offset;

	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		size_t count = *(const size_t *)(base + f->quantifier_offset);
		const char *values = *(char *const *)at;

		if (!count)
			return;
		if (!is_pointer(f->type) && f->type != PROTOBUF_C_TYPE_BYTES) {
			show_scalars(out, message->descriptor, f, count, values);
			return;
		}
		out_list(out, f->name);
		for (size_t i = 0; i < count; i++)
			show_value(out, message->descriptor, f, values + i * image_value_size(f->type), i);
		out_list_end(out);
		return;
	}
	if (f->label == PROTOBUF_C_LABEL_OPTIONAL) {
		/* protobuf-c points absent strings to the default value of the schema. */
		const void *pointer = is_pointer(f->type) ? *(void *const *)at : NULL;

		if (is_pointer(f->type) ? !pointer || pointer == f->default_value
					: !*(const protobuf_c_boolean *)(base + f->quantifier_offset))
			return;
	}
	show_value(out, message->descriptor, f, at, NO_INDEX);
}

/* A field that the schema does not know: newer images, or a tool's own. */
static void show_unknown(struct show_out *out, const ProtobufCMessageUnknownField *u, long index)
{
	static const char *const wires[] = { "varint", "64bit", "bytes", "group", "group-end", "32bit", "?", "?" };

	out_object(out, "unknown", index);
	out_value(out, "field", "%" PRIu32, u->tag);
	out_value(out, "wire", out->json ? "\"%s\"" : "%s", wires[u->wire_type & 7]);
	if (u->wire_type == PROTOBUF_C_WIRE_TYPE_VARINT) {
		uint64_t value = 0;

		for (size_t i = 0; i < u->len && i < 10; i++)
			value |= (uint64_t)(u->data[i] & 0x7f) << (7 * i);
		out_value(out, "value", "%" PRIu64, value);
	}
	out_bytes(out, "raw", u->data, u->len, out->json ? SIZE_MAX : BYTES_SHOWN);
	out_object_end(out);
}

void show_message(struct show_out *out, const ProtobufCMessage *message)
{
	for (unsigned int i = 0; i < message->descriptor->n_fields; i++)
		show_field(out, message, &message->descriptor->fields[i]);
	if (!message->n_unknown_fields)
		return;
	out_list(out, "unknown");
	for (unsigned int i = 0; i < message->n_unknown_fields; i++)
		show_unknown(out, &message->unknown_fields[i], i);
	out_list_end(out);
}
