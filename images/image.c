/*
 * Image files: their table, their names, writing them. Layout: images/README.md. Reading is image_read.c.
 * Does not handle: the meaning of entries, page data (pages-N.img is written by the dumped tasks themselves and
 * read by the restored ones).
 */
#include "image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "image_messages.h"
#include "log.h"

#define none__descriptor (*(const ProtobufCMessageDescriptor *)NULL)
const struct image_info image_info[IMG_KINDS] = {
#define IMAGE(kind, name, magic, shape, message)                                                                       \
	[IMG_##kind] = { #kind, name, magic, IMAGE_##shape, &message##__descriptor },
#include "image_table.def"
#undef IMAGE
};

const char *image_name(char *buf, size_t size, enum image_kind kind, unsigned long id)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
	snprintf(buf, size, image_info[kind].name, id);
#pragma GCC diagnostic pop
	return buf;
}

uint32_t image_first_magic(enum image_kind kind)
{
	switch (kind) {
	case IMG_STATS_DUMP:
	case IMG_STATS_RESTORE:
	case IMG_IRMAP_CACHE:
		return IMAGE_SERVICE_MAGIC;
	case IMG_INVENTORY:
		return image_info[kind].magic;
	default:
		return image_info[kind].shape == IMAGE_RAW ? image_info[kind].magic : IMAGE_COMMON_MAGIC;
	}
}

/* Writing */

void image_create(struct image_writer *w, const struct image_dir *dir, enum image_kind kind, unsigned long id)
{
	uint32_t common = image_first_magic(kind);

	*w = (struct image_writer){ .dir = dir, .kind = kind, .id = id, .fd = -1 };
	if (kind != IMG_INVENTORY)
		image_put_bytes(w, &common, sizeof(common));
	image_put_bytes(w, &image_info[kind].magic, sizeof(uint32_t));
}

/* Makes room for len more bytes and returns where they go, or NULL. */
static uint8_t *reserve(struct image_writer *w, size_t len)
{
	if (w->error)
		return NULL;
	if (w->len + len > w->size) {
		size_t size = (w->len + len) * 2;
		uint8_t *buf = realloc(w->buf, size);

		if (!buf) {
			w->error = -ENOMEM;
			return NULL;
		}
		w->buf = buf;
		w->size = size;
	}
	w->len += len;
	return w->buf + w->len - len;
}

void image_put(struct image_writer *w, const ProtobufCMessage *message)
{
	uint32_t len = protobuf_c_message_get_packed_size(message);

	image_put_bytes(w, &len, sizeof(len));
	uint8_t *to = reserve(w, len);
	if (to)
		protobuf_c_message_pack(message, to);
}

void image_put_bytes(struct image_writer *w, const void *bytes, size_t len)
{
	uint8_t *to = reserve(w, len);

	if (to && len)
		memcpy(to, bytes, len);
}

/* Writes all of buf. Returns 0 or -errno. */
static int write_all(int fd, const uint8_t *buf, size_t len)
{
	while (len) {
		ssize_t n = write(fd, buf, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		buf += n;
		len -= n;
	}
	return 0;
}

int image_flush(struct image_writer *w)
{
	char name[64];

	image_name(name, sizeof(name), w->kind, w->id);
	if (w->error)
		return log_errno(-w->error, "no memory for %s", name);
	if (w->fd < 0)
		w->fd = image_create_raw(w->dir, w->kind, w->id);
	if (w->fd < 0)
		return w->fd;
	int err = write_all(w->fd, w->buf, w->len);
	w->len = 0;
	return err ? log_errno(-err, "can't write %s/%s", w->dir->path, name) : w->fd;
}

int image_close(struct image_writer *w)
{
	int fd = image_flush(w);

	free(take_ptr(w->buf));
	cleanup_close(&w->fd);
	w->fd = -1;
	return fd < 0 ? fd : 0;
}

int image_write_one(const struct image_dir *dir, enum image_kind kind, unsigned long id,
		    const ProtobufCMessage *message)
{
	struct image_writer w;

	image_create(&w, dir, kind, id);
	image_put(&w, message);
	return image_close(&w);
}

int image_create_raw(const struct image_dir *dir, enum image_kind kind, unsigned long id)
{
	char name[64];

	image_name(name, sizeof(name), kind, id);
	int fd = openat(dir->partial_fd, name, O_CREAT | O_TRUNC | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? log_errno(errno, "can't create %s in %s", name, dir->path) : fd;
}

void image_remove_raw(const struct image_dir *dir, enum image_kind kind, unsigned long id)
{
	char name[64];

	unlinkat(dir->partial_fd, image_name(name, sizeof(name), kind, id), 0);
}
