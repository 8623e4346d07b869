/* Printing images as text or JSON: the writer of both, messages, directories. */
#ifndef CKPT_SHOW_H
#define CKPT_SHOW_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "image.h"
#include "json.h"

/*
 * Writes nested objects and lists. In text, an object is its name and an indented block; an element of a list
 * has its number behind the name.
 */
struct show_out {
	struct json to; /* its file and depth; the rest is for JSON */
	bool json;
};

#define NO_INDEX (-1l)

/* Opens an object. In a JSON list (index is not NO_INDEX) elements have no name. */
void out_object(struct show_out *out, const char *name, long index);
void out_object_end(struct show_out *out);
/* Opens a list, whose elements carry its name in text. */
void out_list(struct show_out *out, const char *name);
void out_list_end(struct show_out *out);
/* A value that both formats write the same way; name may be NULL in lists of JSON. */
void out_value(struct show_out *out, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A string, quoted; what is not printable is escaped. Not valid UTF-8: {"hex": "..."} in JSON. */
void out_string(struct show_out *out, const char *name, const char *string);
/* Bytes as size and hex digits; of more than limit, only so many. */
void out_bytes(struct show_out *out, const char *name, const uint8_t *bytes, size_t len, size_t limit);
/* A line of text only; nothing in JSON. */
void out_text(struct show_out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Writes the string quoted to the file, without anything around. */
void out_quoted(FILE *file, const char *string);

/* Prints the fields of a message into the open object. Unknown fields are shown by number, wire type and bytes. */
void show_message(struct show_out *out, const ProtobufCMessage *message);
/* Prints an image. Returns 0 or -errno (logged) when it is broken; then all that is good is printed. */
int show_image(struct show_out *out, const char *path);
/* Prints the summary of a directory. Returns 0 or -errno (logged). */
int show_directory(struct show_out *out, const char *path);

/* The word for a value of an enum, or NULL. */
const char *enum_word(const ProtobufCEnumDescriptor *type, int value);

#endif
