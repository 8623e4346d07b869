/*
 * Image files: protobuf messages behind magic numbers, raw bytes behind some of them.
 *
 * Writing: images of a dump go into a hidden directory ".ckpt-partial" inside the image directory and are
 * renamed to their final names when all are complete (image_dir_commit), so that a dump that fails, or
 * that is killed, leaves no file that could be taken for an image.
 *
 * Reading trusts no byte: sizes are bounded by the file, messages are unpacked by protobuf-c, and what is
 * wrong is logged with the file, the entry and the offset. The meaning of fields is checked by who uses them.
 */
#ifndef CKPT_IMAGE_H
#define CKPT_IMAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

enum image_kind {
#define IMAGE(kind, name, magic, shape, message) IMG_##kind,
#include "../images/image_table.def"
#undef IMAGE
	IMG_KINDS,
};

enum image_shape {
	IMAGE_ONE, /* exactly one entry */
	IMAGE_MANY, /* any number of entries */
	IMAGE_HEAD, /* a pagemap_head, then any number of entries */
	IMAGE_RAW, /* no head, no entries */
};

struct image_info {
	const char *kind; /* "PSTREE" */
	const char *name; /* printf format with at most one unsigned long */
	uint32_t magic;
	enum image_shape shape;
	const ProtobufCMessageDescriptor *entry; /* NULL for raw images */
};

extern const struct image_info image_info[IMG_KINDS];

#define IMAGE_COMMON_MAGIC 0x54564319u
#define IMAGE_SERVICE_MAGIC 0x55105940u
#define IMAGE_PAGE_SIZE 4096ul
#define DEDUP_MARK ".ckpt-deduplicated" /* in a directory whose pages were cut out in part (dedup.h) */
#define CHECKSUMS_NAME "checksums.img"
#define IMAGE_VERSION 2 /* inventory_entry.img_version */
#define IMAGE_VERSION_PACKED 1002 /* the same with compressed page images: what knows none shall refuse it */

struct image_dir {
	int fd; /* the directory */
	int partial_fd; /* its ".ckpt-partial" while a dump writes, else -1 */
	char *path; /* for messages */
	const char *partial; /* its name; NULL: ".ckpt-partial" */
	int unpacked; /* directory of page images that were compressed (packed.h); 0: none */
};

/* Opens the directory. Returns 0 or -errno (logged). */
int image_dir_open(struct image_dir *dir, const char *path);
void image_dir_close(struct image_dir *dir);

/* Starts a set of images; what an earlier, killed dump left half-made is removed. Returns 0 or -errno (logged). */
int image_dir_begin(struct image_dir *dir);
/* The same for a part of a set that another program writes meanwhile: in a hidden directory of this name. */
int image_dir_begin_as(struct image_dir *dir, const char *partial);
/* Renames all that was written since image_dir_begin to its final names. Returns 0 or -errno (logged). */
int image_dir_commit(struct image_dir *dir);
struct stat;
/*
 * The same for a part of a set, without an inventory: that of an older set, if that is still there, goes away, for it
 * would be one of mixed images. st_ino 0: there was none.
 */
int image_dir_commit_pages(struct image_dir *dir, const struct stat *old_inventory);
/* Removes all that was written since image_dir_begin. */
void image_dir_abort(struct image_dir *dir);

/* Writes the name of an image into buf and returns it. */
const char *image_name(char *buf, size_t size, enum image_kind kind, unsigned long id);
/* The first four bytes of images of this kind; 0: raw, anything. */
uint32_t image_first_magic(enum image_kind kind);

struct image_writer {
	const struct image_dir *dir;
	enum image_kind kind;
	unsigned long id;
	uint8_t *buf;
	size_t len, size;
	int error; /* the first -errno; kept until image_close */
	int fd; /* once something was written to the file; else -1 */
};

/* Starts an image in memory. Errors are kept and told by image_close. */
void image_create(struct image_writer *w, const struct image_dir *dir, enum image_kind kind, unsigned long id);
/* Appends an entry. */
void image_put(struct image_writer *w, const ProtobufCMessage *message);
/* Appends raw bytes. */
void image_put_bytes(struct image_writer *w, const void *bytes, size_t len);
/*
 * Writes what was put so far, for who wants to append a lot of bytes to the file himself. Returns its descriptor,
 * which stays the writer's, or -errno (logged).
 */
int image_flush(struct image_writer *w);
/* Writes the image in one go and frees its memory. Returns 0 or -errno (logged). */
int image_close(struct image_writer *w);
/* An image of exactly one entry. Returns 0 or -errno (logged). */
int image_write_one(const struct image_dir *dir, enum image_kind kind, unsigned long id,
		    const ProtobufCMessage *message);
/* Creates an empty raw image (pages, tar, netlink) open for read and write. Returns the descriptor or -errno (logged).
 */
int image_create_raw(const struct image_dir *dir, enum image_kind kind, unsigned long id);
/* Removes a raw image that is not wanted in the set after all. */
void image_remove_raw(const struct image_dir *dir, enum image_kind kind, unsigned long id);

struct image_reader {
	enum image_kind kind;
	unsigned long id; /* of the name; 0 when it has none */
	char name[256]; /* for messages */
	uint8_t *buf; /* NULL for raw images */
	size_t len, pos;
	unsigned int entries; /* read so far, the head counts */
	bool recursive; /* messages of this kind can nest without end */
	struct arena *arena; /* messages are unpacked into it, and live as long as it; NULL: each is the caller's */
};

#define _cleanup_image_ __attribute__((cleanup(image_reader_close)))

/* Reads the whole image and checks its magic. Returns 0, -ENOENT (not logged) or another -errno (logged). */
int image_open(struct image_reader *r, const struct image_dir *dir, enum image_kind kind, unsigned long id);
/* The same on bytes in memory (copied), for tests and fuzzers. */
int image_open_bytes(struct image_reader *r, enum image_kind kind, const void *bytes, size_t len);
/*
 * Opens a file of whatever kind it is: found by its magic, or by its name for raw images, whose content is not read
 * (only r->len is set). Relative paths count from dir_fd. Returns 0 or -errno (logged).
 */
int image_open_path(struct image_reader *r, int dir_fd, const char *path);
void image_reader_close(struct image_reader *r);

/*
 * Reads the next entry as a message of the image's kind (of pagemap_head for the first of a HEAD image).
 * Returns 1 with *message owned by the caller (protobuf_c_message_free_unpacked) unless there is an arena, 0 at the end
 * of the file, or -errno (logged; -EBADMSG for anything malformed).
 */
int image_get(struct image_reader *r, ProtobufCMessage **message);
/* The same for an entry of another type than the image's: what stands behind some entries. */
int image_get_as(struct image_reader *r, const ProtobufCMessageDescriptor *type, ProtobufCMessage **message);
/* Points *bytes at the next len raw bytes, which the reader owns. Returns 0 or -EBADMSG (logged). */
int image_get_bytes(struct image_reader *r, size_t len, const uint8_t **bytes);
/*
 * Reads an image of exactly one entry, and nothing behind it (not for GHOST_FILE and TCP_STREAM).
 * Returns 0, -ENOENT (not logged) or another -errno (logged).
 */
int image_read_one(const struct image_dir *dir, enum image_kind kind, unsigned long id, ProtobufCMessage **message);
/* The same with the message in the arena. */
int image_read_one_into(struct arena *arena, const struct image_dir *dir, enum image_kind kind, unsigned long id,
			ProtobufCMessage **message);
/* Logs what is wrong with the entry read last and returns -EBADMSG. */
int image_bad(const struct image_reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Opens a raw image for reading. Returns the descriptor, -ENOENT (not logged) or another -errno (logged). */
int image_open_raw(const struct image_dir *dir, enum image_kind kind, unsigned long id);

/* One thing in an image: an entry, or what stands behind it. */
struct image_item {
	size_t offset; /* where it begins */
	const ProtobufCMessage *message; /* NULL: raw bytes */
	bool behind; /* belongs to the entry before it */
	const char *what; /* of raw bytes: "data" */
	const uint8_t *bytes;
	size_t len;
};

/*
 * Calls fn for each item, in the order of the file, until it returns something else than 0.
 * Returns that, 0, or -errno (logged) when the image is broken.
 */
int image_walk(struct image_reader *r, int (*fn)(void *arg, const struct image_item *item), void *arg);

/* Bytes of one value of the type in an unpacked message; of a message or string: of the pointer to it. */
size_t image_value_size(ProtobufCType type);

#endif
