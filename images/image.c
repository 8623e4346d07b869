/*
 * Image files on disk. Layout: images/README.md. Does not handle: the meaning of entries, page data
 * (pages-N.img is written by the dumped tasks themselves and read by the restored ones).
 */
#include "image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "image_messages.h"
#include "log.h"

#define PARTIAL ".ckpt-partial"

/* Larger metadata is an attack or an accident: 1,000,000 areas take 64 MiB. */
#define IMAGE_MAX (1ul << 30)

#define none__descriptor (*(const ProtobufCMessageDescriptor *)NULL)
const struct image_info image_info[IMG_KINDS] = {
#define IMAGE(kind, name, magic, shape, message) [IMG_##kind] = { name, magic, IMAGE_##shape, &message##__descriptor },
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

int image_dir_open(struct image_dir *dir, const char *path)
{
	dir->partial_fd = -1;
	dir->path = NULL;
	dir->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0)
		return log_errno(errno, "can't open the image directory %s", path);
	dir->path = strdup(path);
	return dir->path ? 0 : -ENOMEM;
}

void image_dir_close(struct image_dir *dir)
{
	image_dir_abort(dir);
	if (dir->fd >= 0)
		close(dir->fd);
	dir->fd = -1;
	free(take_ptr(dir->path));
}

/* Calls fn for each file of the partial directory; stops at the first error. */
static int each_partial(struct image_dir *dir, int (*fn)(struct image_dir *dir, const char *name))
{
	int err = 0, fd = openat(dir->partial_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return log_errno(errno, "can't list %s/" PARTIAL, dir->path);
	for (struct dirent *e; !err && (e = readdir(d));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			err = fn(dir, e->d_name);
	return err;
}

static int remove_partial(struct image_dir *dir, const char *name)
{
	return unlinkat(dir->partial_fd, name, 0) ? log_errno(errno, "can't remove %s/" PARTIAL "/%s", dir->path, name)
						  : 0;
}

static int finish_partial(struct image_dir *dir, const char *name)
{
	if (renameat(dir->partial_fd, name, dir->fd, name))
		return log_errno(errno, "can't rename %s/" PARTIAL "/%s to its final name", dir->path, name);
	return 0;
}

int image_dir_begin(struct image_dir *dir)
{
	if (mkdirat(dir->fd, PARTIAL, 0700) && errno != EEXIST)
		return log_errno(errno, "can't make %s/" PARTIAL, dir->path);
	dir->partial_fd = openat(dir->fd, PARTIAL, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir->partial_fd < 0)
		return log_errno(errno, "can't open %s/" PARTIAL, dir->path);
	return each_partial(dir, remove_partial);
}

int image_dir_commit(struct image_dir *dir)
{
	int err = each_partial(dir, finish_partial);

	if (!err)
		image_dir_abort(dir);
	return err;
}

void image_dir_abort(struct image_dir *dir)
{
	if (dir->partial_fd < 0)
		return;
	each_partial(dir, remove_partial);
	close(dir->partial_fd);
	dir->partial_fd = -1;
	if (unlinkat(dir->fd, PARTIAL, AT_REMOVEDIR))
		log_warn("can't remove %s/" PARTIAL ": %s", dir->path, strerror(errno));
}

/* Writing */

void image_create(struct image_writer *w, const struct image_dir *dir, enum image_kind kind, unsigned long id)
{
	uint32_t common = kind == IMG_STATS_DUMP || kind == IMG_STATS_RESTORE || kind == IMG_IRMAP_CACHE
				  ? IMAGE_SERVICE_MAGIC
				  : IMAGE_COMMON_MAGIC;

	*w = (struct image_writer){ .dir = dir, .kind = kind, .id = id };
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

int image_close(struct image_writer *w)
{
	char name[64];
	_cleanup_free_ uint8_t *buf = take_ptr(w->buf);

	image_name(name, sizeof(name), w->kind, w->id);
	if (w->error)
		return log_errno(-w->error, "no memory for %s", name);
	_cleanup_close_ int fd = image_create_raw(w->dir, w->kind, w->id);
	if (fd < 0)
		return fd;
	int err = write_all(fd, buf, w->len);
	return err ? log_errno(-err, "can't write %s/%s", w->dir->path, name) : 0;
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

/* Reading */

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

static uint32_t get_u32(const struct image_reader *r, size_t at)
{
	uint32_t v;

	memcpy(&v, r->buf + at, sizeof(v));
	return v;
}

static int check_magic(struct image_reader *r)
{
	bool service = r->kind == IMG_STATS_DUMP || r->kind == IMG_STATS_RESTORE || r->kind == IMG_IRMAP_CACHE;
	uint32_t common = service ? IMAGE_SERVICE_MAGIC : IMAGE_COMMON_MAGIC;
	size_t head = r->kind == IMG_INVENTORY ? 4 : 8;

	if (r->len < head)
		return image_bad(r, "shorter than its magic");
	if (head == 8 && get_u32(r, 0) != common)
		return image_bad(r, "magic is 0x%08x instead of 0x%08x: not an image of version 1.1 or 2",
				 get_u32(r, 0), common);
	if (get_u32(r, head - 4) != image_info[r->kind].magic)
		return image_bad(r, "magic is 0x%08x instead of 0x%08x", get_u32(r, head - 4),
				 image_info[r->kind].magic);
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

int image_open(struct image_reader *r, const struct image_dir *dir, enum image_kind kind, unsigned long id)
{
	struct stat st;

	*r = (struct image_reader){ .kind = kind };
	image_name(r->name, sizeof(r->name), kind, id);
	_cleanup_close_ int fd = openat(dir->fd, r->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0 || fstat(fd, &st))
		return log_errno(errno, "can't open %s/%s", dir->path, r->name);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > IMAGE_MAX)
		return image_bad(r, "not a regular file of at most %lu bytes", IMAGE_MAX);
	r->len = st.st_size;
	r->buf = malloc(r->len + 1);
	if (!r->buf)
		return log_errno(ENOMEM, "%s", r->name);
	int err = read_all(fd, r->buf, r->len);
	if (err)
		log_errno(-err, "can't read %s/%s", dir->path, r->name);
	else
		err = check_magic(r);
	if (err)
		image_reader_close(r);
	return err;
}

int image_open_bytes(struct image_reader *r, enum image_kind kind, const void *bytes, size_t len)
{
	*r = (struct image_reader){ .kind = kind, .len = len, .buf = malloc(len + 1) };
	if (!r->buf)
		return -ENOMEM;
	image_name(r->name, sizeof(r->name), kind, 0);
	memcpy(r->buf, bytes, len);
	int err = check_magic(r);
	if (err)
		image_reader_close(r);
	return err;
}

void image_reader_close(struct image_reader *r)
{
	free(take_ptr(r->buf));
}

int image_get(struct image_reader *r, ProtobufCMessage **message)
{
	const ProtobufCMessageDescriptor *type = image_info[r->kind].entry;

	*message = NULL;
	if (r->pos == r->len)
		return 0;
	if (r->len - r->pos < 4)
		return image_bad(r, "%zu bytes too many at the end", r->len - r->pos);
	uint32_t size = get_u32(r, r->pos);
	if (size > r->len - r->pos - 4)
		return image_bad(r, "an entry of %u bytes, but only %zu are left", size, r->len - r->pos - 4);
	if (image_info[r->kind].shape == IMAGE_HEAD && r->entries == 0)
		type = &pagemap_head__descriptor;
	r->entries++;
	*message = protobuf_c_message_unpack(type, NULL, size, r->buf + r->pos + 4);
	if (!*message)
		return image_bad(r, "%u bytes that are no %s", size, type->name);
	r->pos += 4 + size;
	return 1;
}

int image_get_bytes(struct image_reader *r, size_t len, const uint8_t **bytes)
{
	if (len > r->len - r->pos)
		return image_bad(r, "%zu raw bytes announced, but only %zu are left", len, r->len - r->pos);
	*bytes = r->buf + r->pos;
	r->pos += len;
	return 0;
}

int image_read_one(const struct image_dir *dir, enum image_kind kind, unsigned long id, ProtobufCMessage **message)
{
	_cleanup_image_ struct image_reader r = {};
	int err = image_open(&r, dir, kind, id);

	if (err)
		return err;
	err = image_get(&r, message);
	if (err < 0)
		return err;
	return err ? 0 : image_bad(&r, "empty");
}

int image_open_raw(const struct image_dir *dir, enum image_kind kind, unsigned long id)
{
	char name[64];

	image_name(name, sizeof(name), kind, id);
	int fd = openat(dir->fd, name, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 || errno == ENOENT)
		return fd >= 0 ? fd : -ENOENT;
	return log_errno(errno, "can't open %s/%s", dir->path, name);
}
