/*
 * Reading images. No byte is trusted: sizes are bounded by the file, the nesting of messages and the memory that
 * they unpack to are bounded, and what is wrong is told with the file, the entry and the offset.
 * Does not handle: the meaning of fields, which is checked by who uses them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "cleanup.h"
#include "image.h"
#include "image_messages.h"
#include "log.h"
#include "packed.h"

/* Larger metadata is an attack or an accident: 1,000,000 areas take 64 MiB. */
#define IMAGE_MAX (1ul << 30)

/* protobuf-c unpacks recursively: deeper messages (cgroups in cgroups, say) would end the stack. */
#define NESTING_MAX 64

/*
 * What an entry may unpack to. A repeated number of two bytes takes protobuf-c about 100 while it unpacks; an
 * empty message of two bytes, some 200.
 */
#define UNPACK_FACTOR 256
#define UNPACK_MIN (1ul << 20)
#define UNPACK_MAX (1ul << 32)

int image_bad(const struct image_reader *r, const char *fmt, ...)
{
	char text[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	log_err("%s: entry %u, before byte %zu: %s", r->name, r->entries, r->pos, text);
	return -EBADMSG;
}

static uint32_t get_u32(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* Can messages of this type hold messages of their own type? Descriptors are ours: the answer is no secret of a file */
static bool is_recursive(const ProtobufCMessageDescriptor *type, unsigned int depth)
{
	if (depth > NESTING_MAX / 4)
		return true;
	for (unsigned int i = 0; type && i < type->n_fields; i++)
		if (type->fields[i].type == PROTOBUF_C_TYPE_MESSAGE &&
		    is_recursive(type->fields[i].descriptor, depth + 1))
			return true;
	return false;
}

static int check_magic(struct image_reader *r)
{
	uint32_t first = image_first_magic(r->kind), second = image_info[r->kind].magic;
	size_t head = r->kind == IMG_INVENTORY ? 4 : 8;

	r->recursive = is_recursive(image_info[r->kind].entry, 0);
	if (image_info[r->kind].shape == IMAGE_RAW)
		return 0;
	if (r->len < head)
		return image_bad(r, "shorter than its magic");
	if (get_u32(r->buf) != first)
		return image_bad(r, "magic is 0x%08x instead of 0x%08x%s", get_u32(r->buf), first,
				 head == 8 ? ": not an image of version 1.1 or 2" : "");
	if (get_u32(r->buf + head - 4) != second)
		return image_bad(r, "magic is 0x%08x instead of 0x%08x", get_u32(r->buf + head - 4), second);
	r->pos = head;
	return 0;
}

/* Reads len bytes of the file. */
static int read_all(int fd, uint8_t *buf, size_t len)
{
	while (len) {
		ssize_t n = read(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		buf += n;
		len -= n;
	}
	return 0;
}

/* Reads the rest of the file, whose kind and name are known, and checks its magic. Closes r on errors. */
static int load(struct image_reader *r, int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return log_errno(errno, "can't stat %s", r->name);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > IMAGE_MAX)
		return image_bad(r, "not a regular file of at most %lu bytes", IMAGE_MAX);
	r->len = st.st_size;
	r->buf = malloc(r->len + 1);
	if (!r->buf)
		return log_errno(ENOMEM, "%s", r->name);
	int err = read_all(fd, r->buf, r->len);
	if (err)
		log_errno(-err, "can't read %s", r->name);
	else
		err = check_magic(r);
	if (err)
		image_reader_close(r);
	return err;
}

int image_open(struct image_reader *r, const struct image_dir *dir, enum image_kind kind, unsigned long id)
{
	*r = (struct image_reader){ .kind = kind, .id = id };
	image_name(r->name, sizeof(r->name), kind, id);
	_cleanup_close_ int fd = openat(dir->fd, r->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0)
		return log_errno(errno, "can't open %s/%s", dir->path, r->name);
	return load(r, fd);
}

int image_open_bytes(struct image_reader *r, enum image_kind kind, const void *bytes, size_t len)
{
	*r = (struct image_reader){ .kind = kind, .len = len, .buf = malloc(len + 1) };
	if (!r->buf)
		return -ENOMEM;
	image_name(r->name, sizeof(r->name), kind, 0);
	if (len)
		memcpy(r->buf, bytes, len);
	int err = check_magic(r);
	if (err)
		image_reader_close(r);
	return err;
}

/* Is name what the format (of at most one number) prints for some id? */
static bool name_matches(const char *format, const char *name, unsigned long *id)
{
	const char *percent = strchr(format, '%');
	size_t before = percent ? (size_t)(percent - format) : strlen(format);
	char printed[64], *end;

	*id = 0;
	if (strncmp(format, name, before))
		return false;
	if (!percent)
		return !name[before];
	errno = 0;
	*id = strtoul(name + before, &end, percent[2] == 'x' ? 16 : 10);
	if (errno || end == name + before || strcmp(end, percent + 3))
		return false;
	/* No blanks, signs, zeros in front. */
	snprintf(printed, sizeof(printed), percent[2] == 'x' ? "%lx" : "%lu", *id);
	return strlen(printed) == (size_t)(end - name) - before && !strncmp(printed, name + before, strlen(printed));
}

/* Finds the kind by the magic, and by the name where kinds share one. Raw images only have a name. */
static bool identify(struct image_reader *r, const char *name, const uint8_t head[8], size_t len)
{
	bool found = false;
	unsigned long id;

	for (enum image_kind k = 0; k < IMG_KINDS; k++) {
		bool raw = image_info[k].shape == IMAGE_RAW;
		bool named = name_matches(image_info[k].name, name, &id);

		if (!raw && (len < 4 || get_u32(head) != image_first_magic(k)))
			continue;
		if (!raw && k != IMG_INVENTORY && (len < 8 || get_u32(head + 4) != image_info[k].magic))
			continue;
		if (raw && !named)
			continue;
		if (!found || named) {
			r->kind = k;
			r->id = named ? id : 0;
		}
		if (named)
			return true;
		found = true;
	}
	return found;
}

int image_open_path(struct image_reader *r, int dir_fd, const char *path)
{
	const char *slash = strrchr(path, '/');
	uint8_t head[8] = {};
	struct stat st;

	*r = (struct image_reader){ .kind = IMG_KINDS };
	snprintf(r->name, sizeof(r->name), "%s", path);
	_cleanup_close_ int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st))
		return log_errno(errno, "can't open %s", path);
	if (!S_ISREG(st.st_mode))
		return image_bad(r, "not a regular file");
	ssize_t len = pread(fd, head, sizeof(head), 0);
	if (len < 0)
		return log_errno(errno, "can't read %s", path);
	if (!identify(r, slash ? slash + 1 : path, head, len))
		return image_bad(r,
				 "not an image: it begins with no magic that is known (0x%08x 0x%08x), and its name "
				 "is not that of a raw image",
				 get_u32(head), get_u32(head + 4));
	if (image_info[r->kind].shape != IMAGE_RAW)
		return load(r, fd);
	r->len = st.st_size;
	return 0;
}

void image_reader_close(struct image_reader *r)
{
	free(take_ptr(r->buf));
}

/* Reads a base-128 number. Returns the bytes that it took, or 0. */
static size_t read_varint(const uint8_t *at, size_t len, uint64_t *value)
{
	*value = 0;
	for (size_t i = 0; i < len && i < 10; i++) {
		*value |= (uint64_t)(at[i] & 0x7f) << (7 * i);
		if (!(at[i] & 0x80))
			return i + 1;
	}
	return 0;
}

/* Are messages nested no deeper than NESTING_MAX? What is malformed otherwise is left for protobuf-c to find. */
static bool nests_well(const ProtobufCMessageDescriptor *type, const uint8_t *at, size_t len, unsigned int depth)
{
	if (depth > NESTING_MAX)
		return false;
	while (len) {
		uint64_t tag, value = 0;
		size_t n = read_varint(at, len, &tag), skip;

		if (!n)
			return true;
		at += n;
		len -= n;
		switch (tag & 7) {
		case PROTOBUF_C_WIRE_TYPE_VARINT:
			skip = read_varint(at, len, &value);
			break;
		case PROTOBUF_C_WIRE_TYPE_64BIT:
			skip = 8;
			break;
		case PROTOBUF_C_WIRE_TYPE_32BIT:
			skip = 4;
			break;
		case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
			n = read_varint(at, len, &value);
			if (!n || value > len - n)
				return true;
			const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(type, tag >> 3);
			if (f && f->type == PROTOBUF_C_TYPE_MESSAGE &&
			    !nests_well(f->descriptor, at + n, value, depth + 1))
				return false;
			skip = n + value;
			break;
		default:
			return true;
		}
		if (!skip || skip > len)
			return true;
		at += skip;
		len -= skip;
	}
	return true;
}

/* An allocator with a budget. What it gives is freed by free(3), so by anybody, or with the arena. */
struct budget {
	ProtobufCAllocator allocator;
	struct arena *arena;
	size_t left;
	bool exceeded;
};

static void *budget_alloc(void *data, size_t size)
{
	struct budget *b = data;

	if (size > b->left) {
		b->exceeded = true;
		return NULL;
	}
	b->left -= size;
	return b->arena ? arena_get(b->arena, size) : malloc(size);
}

static void budget_free(void *data, void *pointer)
{
	const struct budget *b = data;

	if (!b->arena)
		free(pointer);
}

int image_get_as(struct image_reader *r, const ProtobufCMessageDescriptor *type, ProtobufCMessage **message)
{
	struct budget budget = { .allocator = { budget_alloc, budget_free, &budget }, .arena = r->arena };

	*message = NULL;
	if (r->pos == r->len)
		return 0;
	if (r->len - r->pos < 4)
		return image_bad(r, "%zu bytes too many at the end", r->len - r->pos);
	uint32_t size = get_u32(r->buf + r->pos);
	if (size > r->len - r->pos - 4)
		return image_bad(r, "an entry of %u bytes, but only %zu are left", size, r->len - r->pos - 4);
	r->entries++;
	if (r->recursive && !nests_well(type, r->buf + r->pos + 4, size, 0))
		return image_bad(r, "messages are nested more than %u deep", NESTING_MAX);
	budget.left = size * (size_t)UNPACK_FACTOR + UNPACK_MIN;
	if (budget.left > UNPACK_MAX)
		budget.left = UNPACK_MAX;
	*message = protobuf_c_message_unpack(type, &budget.allocator, size, r->buf + r->pos + 4);
	if (!*message)
		return image_bad(r, "%u bytes that %s %s", size, budget.exceeded ? "unpack to too much of" : "are no",
				 type->name);
	r->pos += 4 + size;
	return 1;
}

int image_get(struct image_reader *r, ProtobufCMessage **message)
{
	const ProtobufCMessageDescriptor *type = image_info[r->kind].entry;

	*message = NULL;
	if (!type)
		return image_bad(r, "a raw image has no entries");
	if (image_info[r->kind].shape == IMAGE_HEAD && r->entries == 0) {
		int got = image_get_as(r, &pagemap_head__descriptor, message);

		return got ? got : image_bad(r, "no head");
	}
	return image_get_as(r, type, message);
}

int image_get_bytes(struct image_reader *r, size_t len, const uint8_t **bytes)
{
	if (len > r->len - r->pos)
		return image_bad(r, "%zu raw bytes announced, but only %zu are left", len, r->len - r->pos);
	*bytes = r->buf + r->pos;
	r->pos += len;
	return 0;
}

int image_read_one_into(struct arena *arena, const struct image_dir *dir, enum image_kind kind, unsigned long id,
			ProtobufCMessage **message)
{
	_cleanup_image_ struct image_reader r = {};
	int err = image_open(&r, dir, kind, id);

	*message = NULL;
	if (err)
		return err;
	r.arena = arena;
	err = image_get(&r, message);
	if (err < 0)
		return err;
	if (!err)
		return image_bad(&r, "empty");
	if (r.pos == r.len)
		return 0;
	if (!arena)
		protobuf_c_message_free_unpacked(*message, NULL);
	*message = NULL;
	return image_bad(&r, "%zu bytes behind the only entry", r.len - r.pos);
}

int image_read_one(const struct image_dir *dir, enum image_kind kind, unsigned long id, ProtobufCMessage **message)
{
	return image_read_one_into(NULL, dir, kind, id, message);
}

int image_open_raw(const struct image_dir *dir, enum image_kind kind, unsigned long id)
{
	char name[64];

	image_name(name, sizeof(name), kind, id);
	int fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && kind == IMG_PAGES)
		return packed_open(dir, id);
	if (fd >= 0 || errno == ENOENT)
		return fd >= 0 ? fd : -ENOENT;
	return log_errno(errno, "can't open %s/%s", dir->path, name);
}
