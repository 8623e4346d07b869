/* Text and JSON from the same calls. */
#include <stdarg.h>
#include <string.h>

#include "show.h"

/* What stands before each thing in a block. */
static void begin(struct show_out *out, const char *name)
{
	if (out->json) {
		if (out->follows)
			fputc(',', out->file);
		if (out->depth)
			fprintf(out->file, "\n%*s", (int)out->depth * 2, "");
		if (name)
			fprintf(out->file, "\"%s\": ", name);
	} else {
		fprintf(out->file, "%*s", (int)out->depth * 2, "");
	}
	out->follows = true;
}

static void end(struct show_out *out, char c)
{
	out->depth--;
	if (out->follows)
		fprintf(out->file, "\n%*s", (int)out->depth * 2, "");
	fputc(c, out->file);
	if (!out->depth)
		fputc('\n', out->file);
	out->follows = true;
}

void out_object(struct show_out *out, const char *name, long index)
{
	begin(out, index == NO_INDEX ? name : NULL);
	if (out->json)
		fputc('{', out->file);
	else if (index == NO_INDEX)
		fprintf(out->file, "%s:\n", name);
	else
		fprintf(out->file, "%s[%ld]:\n", name, index);
	out->depth++;
	out->follows = false;
}

void out_object_end(struct show_out *out)
{
	if (out->json)
		end(out, '}');
	else
		out->depth--;
}

void out_list(struct show_out *out, const char *name)
{
	if (!out->json)
		return;
	begin(out, name);
	fputc('[', out->file);
	out->depth++;
	out->follows = false;
}

void out_list_end(struct show_out *out)
{
	if (out->json)
		end(out, ']');
}

void out_value(struct show_out *out, const char *name, const char *fmt, ...)
{
	va_list args;

	begin(out, name);
	if (!out->json && name)
		fprintf(out->file, "%s: ", name);
	va_start(args, fmt);
	vfprintf(out->file, fmt, args);
	va_end(args);
	if (!out->json)
		fputc('\n', out->file);
}

/* The length of the valid UTF-8 character at s, which is no control character; 0: none. */
static size_t character(const unsigned char *s)
{
	static const unsigned int lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = *s < 0x80 ? 1 : (*s & 0xe0) == 0xc0 ? 2 : (*s & 0xf0) == 0xe0 ? 3 : (*s & 0xf8) == 0xf0 ? 4 : 0;
	unsigned int code = len == 1 ? *s : *s & (0x7f >> len);

	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (len > 1 && (code < lowest[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) || code < 0xa0))
		return 0;
	return code < 0x20 || code == 0x7f ? 0 : len;
}

static bool is_utf8(const char *string)
{
	const unsigned char *s = (const unsigned char *)string;

	while (*s) {
		size_t len = character(s);

		if (!len && *s >= 0x80)
			return false;
		s += len ?: 1; /* control characters can be escaped */
	}
	return true;
}

void out_quoted(FILE *file, const char *string)
{
	fputc('"', file);
	for (const unsigned char *s = (const unsigned char *)string; *s;) {
		size_t len = character(s);

		if (*s == '"' || *s == '\\')
			fputc('\\', file);
		if (len)
			fwrite(s, 1, len, file);
		else if (*s == '\n')
			fputs("\\n", file);
		else
			fprintf(file, *s < 0x80 ? "\\u%04x" : "\\x%02x", *s);
		s += len ?: 1;
	}
	fputc('"', file);
}

void out_string(struct show_out *out, const char *name, const char *string)
{
	if (out->json && !is_utf8(string)) {
		out_object(out, name, name ? NO_INDEX : 0);
		begin(out, "hex");
		fputc('"', out->file);
		for (const char *s = string; *s; s++)
			fprintf(out->file, "%02x", (unsigned char)*s);
		fputc('"', out->file);
		out_object_end(out);
		return;
	}
	begin(out, name);
	if (!out->json && name)
		fprintf(out->file, "%s: ", name);
	out_quoted(out->file, string);
	if (!out->json)
		fputc('\n', out->file);
}

void out_bytes(struct show_out *out, const char *name, const uint8_t *bytes, size_t len, size_t limit)
{
	size_t shown = len < limit ? len : limit;

	if (out->json) {
		out_object(out, name, name ? NO_INDEX : 0);
		out_value(out, "size", "%zu", len);
		begin(out, "hex");
		fputc('"', out->file);
		for (size_t i = 0; i < shown; i++)
			fprintf(out->file, "%02x", bytes[i]);
		fputc('"', out->file);
		if (shown < len)
			out_value(out, "cut", "true");
		out_object_end(out);
		return;
	}
	begin(out, name);
	fprintf(out->file, "%s: %zu bytes", name ?: "", len);
	for (size_t i = 0; i < shown; i++)
		fprintf(out->file, "%s%02x", i ? " " : ": ", bytes[i]);
	fputs(shown < len ? " ...\n" : "\n", out->file);
}

void out_text(struct show_out *out, const char *fmt, ...)
{
	va_list args;

	if (out->json)
		return;
	va_start(args, fmt);
	vfprintf(out->file, fmt, args);
	va_end(args);
}
