/*
 * Compressing and decompressing page images, frame by frame, with two threads. What is read is trusted in nothing: the
 * seek table must fit the file exactly, and each frame must hold as many bytes as it says.
 */
#include "packed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"
#include "packed_frame.h"
#include "progress.h"

#define SKIPPABLE 0x184d2a5eu /* magic of the frame with the seek table */
#define SEEKABLE 0x8f92eab1u /* at the end of it */
#define HEAD 8 /* bytes: magic, size */
#define FOOT 9 /* number of frames, flags, magic */

struct entry {
	uint32_t packed, plain; /* bytes */
} __attribute__((packed));

struct foot {
	uint32_t frames;
	uint8_t flags; /* none is known */
	uint32_t magic;
} __attribute__((packed));

/* A file on its way from one form to the other. */
struct job {
	const char *path, *name; /* for messages */
	int in, out;
	struct entry *table; /* owned */
	uint64_t *at; /* where each frame begins; owned; NULL while it is made */
	uint64_t n, plain; /* frames, bytes of pages */
	enum packing how;
	bool unpack;
	atomic_ulong next;
	pthread_mutex_t lock; /* of what follows: frames are written one after the other */
	pthread_cond_t turn;
	uint64_t written, offset;
	atomic_int err;
	const struct pack_work *work;
};

static void free_job(struct job *j)
{
	cleanup_close(&j->in);
	cleanup_close(&j->out);
	free(j->table);
	free(j->at);
}

#define _cleanup_job_ __attribute__((cleanup(free_job)))
#define JOB(...)                                                                                                       \
	{                                                                                                              \
		.in = -1, .out = -1, .lock = PTHREAD_MUTEX_INITIALIZER, .turn = PTHREAD_COND_INITIALIZER, __VA_ARGS__  \
	}

/* All of it, or -errno (-ENODATA: the file ends before). */
static int read_all(int fd, void *to, size_t len, uint64_t at)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)to + done, len - done, at + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		done += n;
	}
	return 0;
}

static int write_all(int fd, const void *from, size_t len, uint64_t at)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pwrite(fd, (const char *)from + done, len - done, at + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		done += n;
	}
	return 0;
}

static int broken(const struct job *j, const char *what)
{
	log_err("%s/%s is damaged: %s", j->path, j->name, what);
	return -EBADMSG;
}

static size_t plain_size(const struct job *j, uint64_t i)
{
	return i + 1 < j->n ? PACKED_FRAME : j->plain - i * PACKED_FRAME;
}

/* Waits until all frames before this one are written, and writes it. */
static int append(struct job *j, uint64_t i, const void *frame, size_t size)
{
	pthread_mutex_lock(&j->lock);
	while (j->written != i && !j->err)
		pthread_cond_wait(&j->turn, &j->lock);
	int err = j->err ? 0 : write_all(j->out, frame, size, j->offset);
	j->table[i] = (struct entry){ size, plain_size(j, i) };
	j->offset += size;
	j->written++;
	if (err)
		j->err = log_errno(-err, "can't write %s/%s", j->path, j->name);
	pthread_cond_broadcast(&j->turn);
	pthread_mutex_unlock(&j->lock);
	return j->err;
}

static int pack_frame(struct job *j, struct frame_codec *codec, uint64_t i)
{
	size_t size = plain_size(j, i);
	int err = read_all(j->in, codec->plain, size, i * PACKED_FRAME);

	if (err)
		return log_errno(-err, "can't read %s/%s", j->path, j->name);
	long packed = frame_pack(codec, j->how, size);
	if (packed < 0)
		return log_errno(ENOMEM, "can't compress %s/%s", j->path, j->name);
	return append(j, i, codec->packed, packed);
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

static int unpack_frame(struct job *j, struct frame_codec *codec, uint64_t i)
{
	size_t size = plain_size(j, i);
	int err = read_all(j->in, codec->packed, j->table[i].packed, j->at[i]);

	if (err)
		return log_errno(-err, "can't read %s/%s", j->path, j->name);
	if (frame_unpack(codec, j->table[i].packed) != (long)size)
		return broken(j, "a frame cannot be decompressed");
	if (is_zero(codec->plain, size))
		return 0; /* a hole is as good */
	err = write_all(j->out, codec->plain, size, i * PACKED_FRAME);
	return err ? log_errno(-err, "no memory for the pages of %s/%s", j->path, j->name) : 0;
}

/* watch: this thread shows the progress and looks whether it shall end. */
static void work(struct job *j, bool watch)
{
	struct frame_codec codec;
	int err = frame_codec_make(&codec);

	if (err)
		log_errno(-err, "%s/%s", j->path, j->name);
	for (uint64_t i; !err && !j->err && (i = atomic_fetch_add(&j->next, 1)) < j->n;) {
		err = j->unpack ? unpack_frame(j, &codec, i) : pack_frame(j, &codec, i);
		if (j->work->progress)
			progress_add(j->work->progress, plain_size(j, i));
		if (watch && j->work->progress)
			progress_look(j->work->progress);
		if (!err && watch && j->work->stop)
			err = j->work->stop();
	}
	if (!err && watch && j->work->stop) /* it may have got no frame */
		err = j->work->stop();
	if (err) {
		pthread_mutex_lock(&j->lock);
		j->err = err;
		pthread_cond_broadcast(&j->turn);
		pthread_mutex_unlock(&j->lock);
	}
	frame_codec_free(&codec);
}

static void *help(void *job)
{
	work(job, false);
	return NULL;
}

static int run(struct job *j)
{
	pthread_t helper;

	if (j->work->progress)
		progress_more(j->work->progress, j->plain);
	bool helped = j->n > 4 && !pthread_create(&helper, NULL, help, j);
	work(j, true);
	if (helped)
		pthread_join(helper, NULL);
	return j->err;
}

/* The seek table, behind the last frame. */
static int write_table(struct job *j)
{
	uint64_t len = j->n * sizeof(*j->table);
	const uint32_t head[] = { SKIPPABLE, len + FOOT };
	const struct foot foot = { j->n, 0, SEEKABLE };
	int err = write_all(j->out, head, HEAD, j->offset);

	if (!err)
		err = write_all(j->out, j->table, len, j->offset + HEAD);
	if (!err)
		err = write_all(j->out, &foot, FOOT, j->offset + HEAD + len);
	return err ? log_errno(-err, "can't write %s/%s", j->path, j->name) : 0;
}

static int pack_one(const struct image_dir *dir, unsigned long id, enum packing how, const struct pack_work *w)
{
	_cleanup_job_ struct job j = JOB(.path = dir->path, .how = how, .work = w);
	char name[64];
	struct stat st;

	j.name = image_name(name, sizeof(name), IMG_PAGES, id);
	j.in = openat(dir->partial_fd, name, O_RDONLY | O_CLOEXEC);
	if (j.in < 0 || fstat(j.in, &st))
		return log_errno(errno, "can't open %s/%s", dir->path, name);
	j.plain = st.st_size;
	j.n = (j.plain + PACKED_FRAME - 1) / PACKED_FRAME;
	j.table = calloc(j.n + 1, sizeof(*j.table));
	j.out = image_create_raw(dir, IMG_PAGES_PACKED, id);
	if (!j.table || j.out < 0)
		return j.out < 0 ? j.out : log_errno(ENOMEM, "%s", name);
	int err = run(&j);
	if (!err)
		err = write_table(&j);
	if (!err)
		image_remove_raw(dir, IMG_PAGES, id);
	return err;
}

/* Whether the name is that of an image of the kind: which one. */
static bool image_id(const char *name, enum image_kind kind, unsigned long *id)
{
	const char *digits = name + strcspn(name, "0123456789");
	char same[64];

	*id = strtoul(digits, NULL, 10);
	return *digits && !strcmp(name, image_name(same, sizeof(same), kind, *id));
}

/* Calls fn for all images of the kind in a directory, until it fails. */
static int for_each(int dir_fd, const char *path, enum image_kind kind, int (*fn)(unsigned long id, void *arg),
		    void *arg)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;
	_cleanup_closedir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
	unsigned long id;

	if (!d)
		return log_errno(errno, "can't list %s", path);
	for (struct dirent *e; !err && (e = readdir(d));)
		if (image_id(e->d_name, kind, &id))
			err = fn(id, arg);
	return err;
}

struct all {
	const struct image_dir *dir;
	enum packing how;
	const struct pack_work *work;
	int to; /* directory */
};

static int pack_next(unsigned long id, void *arg)
{
	const struct all *all = arg;

	return pack_one(all->dir, id, all->how, all->work);
}

int packed_make(const struct image_dir *dir, enum packing how, const struct pack_work *w)
{
	struct all all = { .dir = dir, .how = how, .work = w };

	return for_each(dir->partial_fd, dir->path, IMG_PAGES, pack_next, &all);
}

bool packed_is(const struct image_dir *dir, unsigned long id)
{
	char plain[64], name[64];

	image_name(plain, sizeof(plain), IMG_PAGES, id);
	image_name(name, sizeof(name), IMG_PAGES_PACKED, id);
	return faccessat(dir->fd, plain, F_OK, 0) && !faccessat(dir->fd, name, F_OK, 0);
}

/* Where the frames are; they must fill the file up to the table. */
static int place_frames(struct job *j, uint64_t end)
{
	uint64_t at = 0;

	for (uint64_t i = 0; i < j->n; i++) {
		const struct entry *e = &j->table[i];

		if (e->packed > PACKED_MAX || !e->plain || e->plain > PACKED_FRAME || e->plain % IMAGE_PAGE_SIZE ||
		    (i + 1 < j->n && e->plain != PACKED_FRAME))
			return broken(j, "its seek table has frames of other sizes");
		j->at[i] = at;
		at += e->packed;
		j->plain += e->plain;
	}
	return at == end ? 0 : broken(j, "its seek table does not fit its frames");
}

static int read_table(struct job *j, uint64_t size)
{
	struct foot foot;
	uint32_t head[2];
	int err = size < HEAD + FOOT ? -ENODATA : read_all(j->in, &foot, FOOT, size - FOOT);

	if (err == -ENODATA || (!err && (foot.magic != SEEKABLE || foot.flags ||
					 foot.frames > (size - HEAD - FOOT) / sizeof(struct entry))))
		return broken(j, "it has no seek table at the end");
	uint64_t len = err ? 0 : foot.frames * sizeof(struct entry), end = size - FOOT - len - HEAD;
	j->n = err ? 0 : foot.frames;
	j->table = calloc(j->n + 1, sizeof(*j->table));
	j->at = calloc(j->n + 1, sizeof(*j->at));
	if (!j->table || !j->at)
		return log_errno(ENOMEM, "%s", j->name);
	if (!err)
		err = read_all(j->in, head, HEAD, end);
	if (!err)
		err = read_all(j->in, j->table, len, end + HEAD);
	if (err)
		return log_errno(-err, "can't read %s/%s", j->path, j->name);
	if (head[0] != SKIPPABLE || head[1] != len + FOOT)
		return broken(j, "it has no seek table at the end");
	return place_frames(j, end);
}

/* name: room for it. */
static int open_packed(struct job *j, const struct image_dir *dir, unsigned long id, char *name, size_t size)
{
	struct stat st;

	j->path = dir->path;
	j->name = image_name(name, size, IMG_PAGES_PACKED, id);
	j->unpack = true;
	j->in = openat(dir->fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (j->in < 0 && errno == ENOENT)
		return -ENOENT;
	if (j->in < 0 || fstat(j->in, &st))
		return log_errno(errno, "can't open %s/%s", dir->path, name);
	return S_ISREG(st.st_mode) ? read_table(j, st.st_size) : broken(j, "it is no file");
}

int packed_size(const struct image_dir *dir, unsigned long id, uint64_t *bytes)
{
	_cleanup_job_ struct job j = JOB();
	char name[64];
	int err = open_packed(&j, dir, id, name, sizeof(name));

	*bytes = j.plain;
	return err;
}

/* Decompresses into a file, whose descriptor is taken. */
static int unpack(struct job *j, int out)
{
	if (out < 0)
		return log_errno(errno, "no memory for the pages of %s/%s", j->path, j->name);
	j->out = out;
	int err = run(j);
	if (!err && ftruncate(out, j->plain))
		err = log_errno(errno, "no memory for the pages of %s/%s", j->path, j->name);
	return err;
}

int packed_open(const struct image_dir *dir, unsigned long id)
{
	const struct pack_work nothing = {};
	_cleanup_job_ struct job j = JOB(.work = &nothing);
	char name[64];

	image_name(name, sizeof(name), IMG_PAGES, id);
	int fd = dir->unpacked ? openat(dir->unpacked, name, O_RDONLY | O_CLOEXEC) : -1;
	if (fd >= 0)
		return fd;
	int err = open_packed(&j, dir, id, name, sizeof(name));
	if (!err)
		err = unpack(&j, memfd_create("ckpt-pages", MFD_CLOEXEC));
	return err ? err : take_fd(&j.out);
}

/* A tmpfs of any size, which vanishes with its last descriptor. */
static int make_room(void)
{
	_cleanup_close_ int fs = syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "size", "0", 0))
		return -errno;
	/* Huge pages are made in a fraction of the time; where there are none, small ones do. */
	syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "huge", "always", 0);
	if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		return -errno;
	_cleanup_close_ int mount = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, 0);
	int fd = mount < 0 ? -1 : fcntl(mount, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

static int unpack_next(unsigned long id, void *arg)
{
	const struct all *all = arg;
	_cleanup_job_ struct job j = JOB(.work = all->work);
	char name[64], plain[64];

	if (!packed_is(all->dir, id))
		return 0;
	image_name(plain, sizeof(plain), IMG_PAGES, id);
	int err = open_packed(&j, all->dir, id, name, sizeof(name));
	return err ? err : unpack(&j, openat(all->to, plain, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
}

static int note_one(unsigned long id, void *found)
{
	*(bool *)found = true;
	return 0;
}

int packed_unpack(struct image_dir *dir, const struct pack_work *w)
{
	bool found = false;
	int err = for_each(dir->fd, dir->path, IMG_PAGES_PACKED, note_one, &found);

	if (err || !found || dir->unpacked)
		return err;
	int room = make_room();
	if (room < 0)
		return log_errno(-room, "can't make a file system in memory for the pages of %s, which are compressed",
				 dir->path);
	struct all all = { .dir = dir, .work = w, .to = room };
	dir->unpacked = room;
	return for_each(dir->fd, dir->path, IMG_PAGES_PACKED, unpack_next, &all);
}
