/*
 * Writing JSON: objects and lists in each other, strings with all escapes. Whether the file could be written is told by
 * ferror(3) in the end.
 */
#ifndef CKPT_JSON_H
#define CKPT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *file;
	bool one_line; /* no newlines: for records that end with one */
	unsigned int depth;
	bool follows; /* something stands before in this block */
};

/* Begins a value: comma, newline, indentation, and the name unless it is NULL (in lists, and for the outermost one). */
void json_name(struct json *j, const char *name);
/* Opens an object or a list ('{', '['), and closes it ('}', ']'). A newline follows the outermost one. */
void json_open(struct json *j, const char *name, char bracket);
void json_close(struct json *j, char bracket);
void json_number(struct json *j, const char *name, uint64_t number);
void json_bool(struct json *j, const char *name, bool value);
/* Bytes that are not UTF-8 come out as U+FFFD. */
void json_string(struct json *j, const char *name, const char *string);

/* The length of the valid UTF-8 character at s, which is no control character; 0: none. */
size_t utf8_character(const char *s);

#endif
