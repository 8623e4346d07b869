/* Parser of /proc/PID/fdinfo/N of a ring of io_uring(7): io_uring/fdinfo.c of the kernel, 5.12 to 6.18. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "file_handle.h"
#include "proc_fdinfo.h"

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');

	return end ? end + 1 : line + strlen(line);
}

static const char *find(const char *text, const char *name)
{
	size_t len = strlen(name);

	for (const char *line = text; *line; line = next_line(line))
		if (!strncmp(line, name, len) && line[len] == ':')
			return line + len + 1;
	return NULL;
}

static bool number(const char *text, const char *name, uint32_t *value)
{
	const char *at = find(text, name);
	char *end;

	*value = at ? strtoul(at, &end, 0) : 0;
	return at && end > at;
}

/* The lines that belong to one with the name: they begin with a blank or a number. Empty: there is none. */
static const char *list_of(const char *text, const char *name)
{
	const char *at = find(text, name);

	return at ? next_line(at) : "";
}

static bool is_entry(const char *line)
{
	return *line == ' ' || isdigit((unsigned char)*line);
}

static uint32_t count(const char *text, const char *name)
{
	uint32_t n = 0;

	for (const char *line = list_of(text, name); is_entry(line); line = next_line(line))
		n++;
	return n;
}

static int parse_buffers(const char *text, struct fdinfo_uring *u)
{
	for (const char *line = list_of(text, "UserBufs"); is_entry(line); line = next_line(line)) {
		struct uring_buffer b;

		if (sscanf(line, " %" SCNu32 ": 0x%" SCNx64 "/%" SCNu64, &b.index, &b.addr, &b.len) != 3)
			continue; /* <none> */
		struct uring_buffer *larger = realloc(u->buffer, (u->buffers + 1) * sizeof(b));
		if (!larger)
			return -ENOMEM;
		u->buffer = larger;
		u->buffer[u->buffers++] = b;
	}
	return 0;
}

/* An empty place is left out, or told as <none> by older kernels. */
static int parse_files(const char *text, struct fdinfo_uring *u)
{
	for (const char *line = list_of(text, "UserFiles"); is_entry(line); line = next_line(line)) {
		struct uring_file f;
		int at = 0;

		if (sscanf(line, " %" SCNu32 ": %n", &f.index, &at) != 1 || !at || line[at] == '<')
			continue;
		struct uring_file *larger = realloc(u->file, (u->files + 1) * sizeof(f));
		if (!larger)
			return -ENOMEM;
		u->file = larger;
		f.path = strndup(line + at, strcspn(line + at, "\n"));
		if (!f.path)
			return -ENOMEM;
		mountinfo_unescape(f.path);
		u->file[u->files++] = f;
	}
	return 0;
}

void fdinfo_free_uring(struct fdinfo_uring *u)
{
	for (size_t i = 0; i < u->files; i++)
		free(u->file[i].path);
	free(u->file);
	free(u->buffer);
	*u = (struct fdinfo_uring){};
}

int fdinfo_parse_uring(const char *text, struct fdinfo_uring *u)
{
	const char *thread = find(text, "SqThread");
	const struct {
		const char *name;
		uint32_t *value;
	} numbers[] = { { "SqMask", &u->sq_mask },    { "SqHead", &u->sq_head },
			{ "SqTail", &u->sq_tail },    { "CachedSqHead", &u->cached_sq_head },
			{ "CqMask", &u->cq_mask },    { "CqHead", &u->cq_head },
			{ "CqTail", &u->cq_tail },    { "CachedCqTail", &u->cached_cq_tail },
			{ "UserFiles", &u->n_files }, { "UserBufs", &u->n_buffers } };

	*u = (struct fdinfo_uring){ .sq_thread = thread ? atoi(thread) : -1 };
	if (!find(text, "SqMask") || !find(text, "PollList"))
		return -EAGAIN;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!number(text, numbers[i].name, numbers[i].value))
			return -EBADMSG;
	u->polls = count(text, "PollList");
	u->overflows = count(text, "CqOverflowList");
	u->personalities = count(text, "Personalities");
	int err = parse_buffers(text, u);
	if (!err)
		err = parse_files(text, u);
	if (err)
		fdinfo_free_uring(u);
	return err;
}
