/*
 * Checksums of a set of images, by two threads: reading what is in the page cache and hashing it takes 0.27 s a GiB and
 * thread.
 */
#include "checksums.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "checksums.pb-c.h"
#include "cleanup.h"
#include "dedup.h"
#include "log.h"
#include "progress.h"

#define PIECE (64ul << 20)
#define PIECE_MIN 4096ul /* smaller ones make no sense in an image */
#define BUFFER (256ul << 10) /* stays in the cache */
#define SUM sizeof(XXH128_canonical_t)
#define FILES_MAX (1u << 24)

struct file {
	char *name; /* owned */
	uint64_t size, n; /* bytes, pieces */
	XXH128_canonical_t *sums; /* as the file is; owned */
	atomic_int err; /* it could not be read */
	const uint8_t *wanted; /* SUM bytes for each piece; NULL when checksums are made */
};

/* A piece of a file. */
struct piece {
	struct file *file;
	uint64_t index;
};

struct hashing {
	const char *path; /* of the directory, for messages */
	int dir;
	uint64_t piece_size;
	struct file *files;
	size_t n_files;
	struct piece *pieces;
	size_t n_pieces;
	atomic_size_t next;
	atomic_int err; /* the work was ended */
	const struct checksum_work *work;
};

static void free_hashing(struct hashing *h)
{
	for (size_t i = 0; i < h->n_files; i++) {
		free(h->files[i].name);
		free(h->files[i].sums);
	}
	free(h->files);
	free(h->pieces);
}

#define _cleanup_hashing_ __attribute__((cleanup(free_hashing)))

static uint64_t count_pieces(uint64_t size, uint64_t piece_size)
{
	return size ? (size - 1) / piece_size + 1 : 1;
}

/* Adds a file. Returns it, or NULL without memory (logged). */
static struct file *add_file(struct hashing *h, const char *name, uint64_t size)
{
	if (!(h->n_files & (h->n_files - 1))) {
		struct file *grown = realloc(h->files, (h->n_files ? 2 * h->n_files : 1) * sizeof(*grown));

		if (!grown) {
			log_errno(ENOMEM, "checksums of %s", h->path);
			return NULL;
		}
		h->files = grown;
	}
	struct file *f = &h->files[h->n_files];
	*f = (struct file){ .name = strdup(name), .size = size, .n = count_pieces(size, h->piece_size) };
	f->sums = calloc(f->n, sizeof(*f->sums));
	h->n_files++;
	if (f->name && f->sums)
		return f;
	log_errno(ENOMEM, "checksums of %s", h->path);
	return NULL;
}

/* Returns 0 or -errno (not logged). */
static int hash_piece(struct hashing *h, const struct piece *p, XXH3_state_t *state, uint8_t *buf)
{
	_cleanup_close_ int fd = openat(h->dir, p->file->name, O_RDONLY | O_CLOEXEC);
	uint64_t at = p->index * h->piece_size;
	uint64_t end = p->file->size - at < h->piece_size ? p->file->size : at + h->piece_size;

	if (fd < 0)
		return -errno;
	XXH3_128bits_reset(state);
	while (at < end) {
		ssize_t n = pread(fd, buf, end - at < BUFFER ? end - at : BUFFER, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		XXH3_128bits_update(state, buf, n);
		if (h->work->progress)
			progress_add(h->work->progress, n);
		at += n;
	}
	XXH128_canonicalFromHash(&p->file->sums[p->index], XXH3_128bits_digest(state));
	return 0;
}

/* watch: this thread shows the progress and looks whether it shall end. */
static void hash_some(struct hashing *h, bool watch)
{
	_cleanup_free_ uint8_t *buf = malloc(BUFFER);
	XXH3_state_t *state = XXH3_createState();

	if (!buf || !state)
		h->err = -ENOMEM;
	for (size_t i; !h->err && (i = atomic_fetch_add(&h->next, 1)) < h->n_pieces;) {
		int err = hash_piece(h, &h->pieces[i], state, buf), stop = 0;

		if (err)
			h->pieces[i].file->err = err;
		if (watch && h->work->progress)
			progress_look(h->work->progress);
		if (watch && h->work->stop)
			stop = h->work->stop();
		if (stop)
			h->err = stop;
	}
	XXH3_freeState(state);
}

static void *help(void *hashing)
{
	hash_some(hashing, false);
	return NULL;
}

/* Hashes all files. Returns 0 or -errno (logged, or by stop()); what is wrong with one is noted there. */
static int hash_all(struct hashing *h)
{
	uint64_t bytes = 0;
	pthread_t helper;

	for (size_t i = 0; i < h->n_files; i++) {
		h->n_pieces += h->files[i].n;
		bytes += h->files[i].size;
	}
	h->pieces = calloc(h->n_pieces + 1, sizeof(*h->pieces));
	if (!h->pieces)
		return log_errno(ENOMEM, "checksums of %s", h->path);
	for (size_t i = 0, n = 0; i < h->n_files; i++)
		for (uint64_t j = 0; j < h->files[i].n; j++)
			h->pieces[n++] = (struct piece){ &h->files[i], j };
	if (h->work->progress)
		progress_more(h->work->progress, bytes);
	bool helped = bytes > BUFFER && !pthread_create(&helper, NULL, help, h);
	hash_some(h, true);
	if (helped)
		pthread_join(helper, NULL);
	if (h->err == -ENOMEM)
		log_errno(ENOMEM, "checksums of %s", h->path);
	return h->err;
}

static bool has_checksum(const char *name)
{
	return strncmp(name, "stats-", 6) && strcmp(name, CHECKSUMS_NAME);
}

static int list_files(struct hashing *h)
{
	int fd = openat(h->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d)
		return log_errno(errno, "can't list the new images in %s", h->path);
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;

		if (fstatat(h->dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			return log_errno(errno, "can't look at %s/%s", h->path, e->d_name);
		if (S_ISREG(st.st_mode) && has_checksum(e->d_name) && !add_file(h, e->d_name, st.st_size))
			return -ENOMEM;
	}
	return 0;
}

static int write_image(const struct image_dir *dir, const struct hashing *h)
{
	ChecksumsEntry e = CHECKSUMS_ENTRY__INIT;
	_cleanup_free_ FileChecksum *files = calloc(h->n_files + 1, sizeof(*files));
	_cleanup_free_ FileChecksum **list = calloc(h->n_files + 1, sizeof(*list));

	if (!files || !list)
		return log_errno(ENOMEM, "checksums of %s", h->path);
	for (size_t i = 0; i < h->n_files; i++) {
		const struct file *f = &h->files[i];

		if (f->err)
			return log_errno(-f->err, "can't read %s/%s again for its checksum", h->path, f->name);
		file_checksum__init(&files[i]);
		files[i].name = f->name;
		files[i].size = f->size;
		files[i].sums = (ProtobufCBinaryData){ f->n * SUM, (uint8_t *)f->sums };
		list[i] = &files[i];
	}
	e.algorithm = CHECKSUM_ALGORITHM__XXH3_128;
	e.piece_size = h->piece_size;
	e.n_files = h->n_files;
	e.files = list;
	return image_write_one(dir, IMG_CHECKSUMS, 0, &e.base);
}

int checksums_write(const struct image_dir *dir, const struct checksum_work *work)
{
	_cleanup_hashing_ struct hashing h = {
		.path = dir->path, .dir = dir->partial_fd, .piece_size = PIECE, .work = work
	};
	int err = list_files(&h);

	if (!err)
		err = hash_all(&h);
	return err ? err : write_image(dir, &h);
}

/* Says what is wrong with a file of the set. */
static int bad(const struct hashing *h, const char *name, const char *what)
{
	log_err("%s/%s %s", h->path, name, what);
	return -EBADMSG;
}

/* The image was made by anybody. */
static const char *wrong(const ChecksumsEntry *e, const FileChecksum *f)
{
	if (strchr(f->name, '/') || !*f->name || !strcmp(f->name, ".") || !strcmp(f->name, ".."))
		return "the name of a file makes no sense";
	if (f->size > INT64_MAX || f->sums.len % SUM || f->sums.len / SUM != count_pieces(f->size, e->piece_size))
		return "there are more or fewer checksums than the size of a file asks for";
	return NULL;
}

/* Takes a file of the list to be hashed; it must be there, as long as it was. Returns 0, -EBADMSG or -errno (logged).
 */
static int take_file(struct hashing *h, const ChecksumsEntry *e, const FileChecksum *f, bool no_pages)
{
	const char *what = wrong(e, f);
	struct stat st;

	if (what) {
		log_err("%s/" CHECKSUMS_NAME ": %s", h->path, what);
		return -EBADMSG;
	}
	bool pages = !strncmp(f->name, "pages-", 6);
	if ((pages && no_pages) || (h->work->pages_only && !pages && strncmp(f->name, "pagemap-", 8)))
		return 0;
	if (fstatat(h->dir, f->name, &st, 0))
		return bad(h, f->name,
			   errno == ENOENT ? "is missing: the images are incomplete" : "can't be looked at");
	if (!S_ISREG(st.st_mode))
		return bad(h, f->name, "is no regular file");
	if ((uint64_t)st.st_size != f->size) {
		log_err("%s/%s is %lld bytes long, not %llu: it was cut or overwritten", h->path, f->name,
			(long long)st.st_size, (unsigned long long)f->size);
		return -EBADMSG;
	}
	struct file *file = add_file(h, f->name, f->size);
	if (!file)
		return -ENOMEM;
	file->wanted = f->sums.data;
	return 0;
}

/* Says which pieces differ. Returns 0 or -EBADMSG. */
static int compare(const struct hashing *h, const struct file *f)
{
	int err = 0;

	if (f->err)
		return log_errno(-f->err, "can't read %s/%s", h->path, f->name) ? -EBADMSG : 0;
	for (uint64_t i = 0; i < f->n; i++) {
		uint64_t end = i + 1 < f->n ? (i + 1) * h->piece_size : f->size;

		if (!memcmp(&f->sums[i], f->wanted + i * SUM, SUM))
			continue;
		log_err("%s/%s is damaged: bytes %llu to %llu do not have their checksum", h->path, f->name,
			(unsigned long long)(i * h->piece_size), (unsigned long long)end);
		err = -EBADMSG;
	}
	return err;
}

static int verify(struct hashing *h, const ChecksumsEntry *e, bool no_pages)
{
	int err = 0, first = 0;

	if (e->algorithm != CHECKSUM_ALGORITHM__XXH3_128 || e->piece_size < PIECE_MIN || e->n_files > FILES_MAX)
		return bad(h, CHECKSUMS_NAME, "is of a kind that is not known");
	h->piece_size = e->piece_size;
	for (size_t i = 0; i < e->n_files; i++) {
		err = take_file(h, e, e->files[i], no_pages);
		if (err == -ENOMEM)
			return err;
		first = first ? first : err;
	}
	err = hash_all(h);
	for (size_t i = 0; i < h->n_files && !err; i++) {
		int differs = compare(h, &h->files[i]);

		first = first ? first : differs;
	}
	return err ? err : first;
}

int checksums_verify(const struct image_dir *dir, const struct checksum_work *work)
{
	_cleanup_hashing_ struct hashing h = { .path = dir->path, .dir = dir->fd, .work = work };
	ProtobufCMessage *m;
	int err = image_read_one(dir, IMG_CHECKSUMS, 0, &m);

	if (err)
		return err == -ENOENT ? 0 : err;
	bool no_pages = dedup_is_marked(dir);
	if (no_pages)
		log_info("%s has lost pages: the checksums of its page images do not count", dir->path);
	err = verify(&h, (const ChecksumsEntry *)m, no_pages);
	protobuf_c_message_free_unpacked(m, NULL);
	return err ? err : 1;
}
