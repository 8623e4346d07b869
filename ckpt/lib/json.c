/* JSON, see json.h. */
#include "json.h"

#include <inttypes.h>

void json_name(struct json *j, const char *name)
{
	if (j->follows)
		fputs(j->one_line ? ", " : ",", j->file);
	if (j->depth && !j->one_line)
		fprintf(j->file, "\n%*s", (int)j->depth * 2, "");
	if (name)
		fprintf(j->file, "\"%s\": ", name);
	j->follows = true;
}

void json_open(struct json *j, const char *name, char bracket)
{
	json_name(j, name);
	fputc(bracket, j->file);
	j->depth++;
	j->follows = false;
}

void json_close(struct json *j, char bracket)
{
	j->depth--;
	if (j->follows && !j->one_line)
		fprintf(j->file, "\n%*s", (int)j->depth * 2, "");
	fputc(bracket, j->file);
	if (!j->depth)
		fputc('\n', j->file);
	j->follows = true;
}

void json_number(struct json *j, const char *name, uint64_t number)
{
	json_name(j, name);
	fprintf(j->file, "%" PRIu64, number);
}

void json_bool(struct json *j, const char *name, bool value)
{
	json_name(j, name);
	fputs(value ? "true" : "false", j->file);
}

size_t utf8_character(const char *string)
{
	static const unsigned int lowest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	const unsigned char *s = (const unsigned char *)string;
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

void json_string(struct json *j, const char *name, const char *s)
{
	json_name(j, name);
	fputc('"', j->file);
	while (*s) {
		size_t len = utf8_character(s);

		if (*s == '"' || *s == '\\')
			fputc('\\', j->file);
		if (len)
			fwrite(s, 1, len, j->file);
		else if ((unsigned char)*s < 0x80)
			fprintf(j->file, "\\u%04x", *s);
		else
			fputs("\\ufffd", j->file);
		s += len ?: 1;
	}
	fputc('"', j->file);
}
