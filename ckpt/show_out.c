/* Text and JSON from the same calls. */
#include <stdarg.h>
#include <string.h>

#include "show.h"

/* What stands before each thing in a block. */
static void begin(struct show_out *out, const char *name)
{
	if (out->json)
		json_name(&out->to, name);
	else
		fprintf(out->to.file, "%*s", (int)out->to.depth * 2, "");
}

void out_object(struct show_out *out, const char *name, long index)
{
	if (out->json) {
		json_open(&out->to, index == NO_INDEX ? name : NULL, '{');
		return;
	}
	begin(out, NULL);
	if (index == NO_INDEX)
		fprintf(out->to.file, "%s:\n", name);
	else
		fprintf(out->to.file, "%s[%ld]:\n", name, index);
	out->to.depth++;
}

void out_object_end(struct show_out *out)
{
	if (out->json)
		json_close(&out->to, '}');
	else
		out->to.depth--;
}

void out_list(struct show_out *out, const char *name)
{
	if (out->json)
		json_open(&out->to, name, '[');
}

void out_list_end(struct show_out *out)
{
	if (out->json)
		json_close(&out->to, ']');
}

void out_value(struct show_out *out, const char *name, const char *fmt, ...)
{
	va_list args;

	begin(out, name);
	if (!out->json && name)
		fprintf(out->to.file, "%s: ", name);
	va_start(args, fmt);
	vfprintf(out->to.file, fmt, args);
	va_end(args);
	if (!out->json)
		fputc('\n', out->to.file);
}

static bool is_utf8(const char *string)
{
	for (size_t len; *string; string += len ?: 1) { /* control characters can be escaped */
		len = utf8_character(string);
		if (!len && *string < 0)
			return false;
	}
	return true;
}

void out_quoted(FILE *file, const char *string)
{
	fputc('"', file);
	for (const unsigned char *s = (const unsigned char *)string; *s;) {
		size_t len = utf8_character((const char *)s);

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
		fputc('"', out->to.file);
		for (const char *s = string; *s; s++)
			fprintf(out->to.file, "%02x", (unsigned char)*s);
		fputc('"', out->to.file);
		out_object_end(out);
		return;
	}
	begin(out, name);
	if (!out->json && name)
		fprintf(out->to.file, "%s: ", name);
	out_quoted(out->to.file, string);
	if (!out->json)
		fputc('\n', out->to.file);
}

void out_bytes(struct show_out *out, const char *name, const uint8_t *bytes, size_t len, size_t limit)
{
	size_t shown = len < limit ? len : limit;

	if (out->json) {
		out_object(out, name, name ? NO_INDEX : 0);
		out_value(out, "size", "%zu", len);
		begin(out, "hex");
		fputc('"', out->to.file);
		for (size_t i = 0; i < shown; i++)
			fprintf(out->to.file, "%02x", bytes[i]);
		fputc('"', out->to.file);
		if (shown < len)
			out_value(out, "cut", "true");
		out_object_end(out);
		return;
	}
	begin(out, name);
	fprintf(out->to.file, "%s: %zu bytes", name ?: "", len);
	for (size_t i = 0; i < shown; i++)
		fprintf(out->to.file, "%s%02x", i ? " " : ": ", bytes[i]);
	fputs(shown < len ? " ...\n" : "\n", out->to.file);
}

void out_text(struct show_out *out, const char *fmt, ...)
{
	va_list args;

	if (out->json)
		return;
	va_start(args, fmt);
	vfprintf(out->to.file, fmt, args);
	va_end(args);
}
