/*
 * Copies pages from tasks into images: /proc/PID/mem, then pwrite(2), in chunks that stay in the cache. Unlike
 * process_vm_readv(2), /proc/PID/mem leaves pages shared that a fork shares, and reads areas without PROT_READ. The
 * former is for short pieces that no fork shares: half the time, for one call reads many of them.
 */
#include "page_copy.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cleanup.h"
#include "fault.h"
#include "log.h"
#include "pagemap.h"
#include "time_us.h"

#define CHUNK (256ul << 10) /* bytes */
#define SMALL_CHUNK (32ul << 10) /* bytes; where little is copied, to get fresh memory for the buffer takes longer */
#define PIECES 64 /* of a chunk */
#define SHORT (16ul << 10) /* bytes of a piece that a call of its own is too much for */
#define WORTH_A_THREAD (1ul << 20) /* bytes */

struct piece {
	uint64_t start, len;
	bool own; /* see struct run */
};

/* Pieces of memory that follow each other in the image. */
struct chunk {
	const struct page_job *job;
	uint64_t offset, len;
	struct piece pieces[PIECES];
	size_t n;
};

struct copying {
	pthread_mutex_t lock; /* of what follows */
	const struct page_job *jobs;
	size_t n, job, run; /* what is next: a run of a job, */
	uint64_t done, offset; /* behind so many bytes of it, at this place in the image */
	uint64_t chunk; /* bytes, at most */
	struct progress *progress;
	atomic_int err;
};

/* Adds what comes next to a chunk. Returns false when the chunk ends before that. */
static bool add_piece(struct copying *c, struct chunk *chunk, const struct run *r)
{
	uint64_t left = r->end - r->start - c->done, room = c->chunk - chunk->len;

	if (r->parent) {
		c->run++;
		return true;
	}
	if (chunk->n && (r->copied || chunk->n == PIECES || !room))
		return false;
	if (!chunk->n)
		chunk->offset = c->offset;
	if (!r->copied) {
		left = left < room ? left : room;
		chunk->pieces[chunk->n++] = (struct piece){ r->start + c->done, left, r->own };
		chunk->len += left;
	}
	c->offset += left;
	c->done += left;
	if (r->start + c->done == r->end) {
		c->run++;
		c->done = 0;
	}
	return true;
}

/* Takes the next chunk; false: there is none. */
static bool take_chunk(struct copying *c, struct chunk *chunk)
{
	*chunk = (struct chunk){};
	pthread_mutex_lock(&c->lock);
	while (!chunk->n && c->job < c->n) {
		const struct run_list *list = c->jobs[c->job].list;

		chunk->job = &c->jobs[c->job];
		while (c->run < list->n && add_piece(c, chunk, &list->r[c->run]))
			;
		if (c->run == list->n && !chunk->n) {
			c->job++;
			c->run = c->offset = 0;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return chunk->n;
}

/* What cannot be read any more is looked at again in the next round; the image gets zeros there meanwhile. */
static int miss(struct copying *c, const struct page_job *job, uint64_t start, uint64_t end)
{
	pthread_mutex_lock(&c->lock);
	int err = run_add(job->missed, (struct run){ start, end });
	pthread_mutex_unlock(&c->lock);
	return err;
}

static int read_piece(struct copying *c, const struct page_job *job, const struct piece *p, uint8_t *to)
{
	uint64_t done = 0;

	while (done < p->len) {
		ssize_t n = pread(job->mem, to + done, p->len - done, p->start + done);

		if (n > 0) {
			done += n;
		} else if (job->snapshot) {
			return log_errno(n ? errno : ESRCH,
					 "can't read the snapshot of task %d (was it killed, for want of memory? "
					 "--copy-frozen does without)",
					 job->pid);
		} else if (!job->missed) {
			return log_errno(n ? errno : ESRCH, "can't read %lu bytes at %#lx of task %d", p->len - done,
					 p->start + done, job->pid);
		} else {
			int err = miss(c, job, p->start + done, p->start + p->len);

			memset(to + done, 0, p->len - done);
			return err;
		}
	}
	return 0;
}

/* Reads what comes of short pieces by one call, whole ones only. Returns how many, and adds their bytes. */
static size_t read_short_pieces(const struct chunk *chunk, size_t first, uint8_t *buf, uint64_t *at)
{
	struct iovec remote[PIECES], local = { buf + *at, 0 };
	size_t n = 0, whole = 0;

	/* Who shares the pages of a task that runs, and those of a snapshot, changes or is known. */
	for (; first + n < chunk->n && !chunk->job->missed && !chunk->job->snapshot; n++) {
		const struct piece *p = &chunk->pieces[first + n];

		if (!p->own || p->len > SHORT)
			break;
		remote[n] = (struct iovec){ (void *)p->start, p->len };
		local.iov_len += p->len;
	}
	if (n < 2)
		return 0;
	ssize_t got = process_vm_readv(chunk->job->pid, &local, 1, remote, n, 0);
	for (; whole < n && got >= (ssize_t)remote[whole].iov_len; whole++) {
		got -= remote[whole].iov_len;
		*at += remote[whole].iov_len;
	}
	return whole;
}

static int read_pieces(struct copying *c, const struct chunk *chunk, uint8_t *buf)
{
	uint64_t at = 0;
	int err = 0;

	for (size_t i = 0; i < chunk->n && !err;) {
		i += read_short_pieces(chunk, i, buf, &at);
		if (i == chunk->n)
			break;
		err = read_piece(c, chunk->job, &chunk->pieces[i], buf + at);
		at += chunk->pieces[i++].len;
	}
	return err;
}

static int copy_chunk(struct copying *c, const struct chunk *chunk, uint8_t *buf)
{
	int err = read_pieces(c, chunk, buf);

	for (uint64_t at = 0; at < chunk->len && !err;) {
		ssize_t n = pwrite(chunk->job->out, buf + at, chunk->len - at, chunk->offset + at);

		if (n <= 0)
			return log_errno(n ? errno : EIO, "can't write pages of task %d", chunk->job->pid);
		at += n;
	}
	return err;
}

/* watch: this thread looks for interruptions, too. */
static void work(struct copying *c, bool watch)
{
	uint8_t *buf = malloc(c->chunk);
	struct chunk chunk;
	int err = buf ? 0 : log_errno(ENOMEM, "buffer for pages");

	while (!err && !c->err && take_chunk(c, &chunk)) {
		uint64_t start = chunk.job->us ? time_us() : 0;

		err = copy_chunk(c, &chunk, buf);
		if (chunk.job->us)
			__atomic_fetch_add(chunk.job->us, time_us() - start, __ATOMIC_RELAXED);
		progress_add(c->progress, chunk.len);
		if (!err && watch)
			err = fault_point(FAULT_dump_memory_half);
		if (!err && watch)
			err = interrupted();
		if (!err && watch)
			progress_look(c->progress);
	}
	if (err)
		c->err = err;
	free(buf);
}

static void *help(void *copying)
{
	work(copying, false);
	return NULL;
}

static uint64_t bytes_to_copy(const struct page_job *jobs, size_t n)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += runs_bytes(jobs[i].list, false);
	return bytes;
}

int pages_copy(const struct page_job *jobs, size_t n, struct progress *progress)
{
	struct copying c = { .lock = PTHREAD_MUTEX_INITIALIZER, .jobs = jobs, .n = n, .progress = progress };
	uint64_t bytes = bytes_to_copy(jobs, n);
	pthread_t helper;

	c.chunk = bytes < WORTH_A_THREAD ? SMALL_CHUNK : CHUNK;
	bool helped = bytes >= WORTH_A_THREAD && !pthread_create(&helper, NULL, help, &c);

	progress_more(progress, bytes);
	work(&c, true);
	if (helped)
		pthread_join(helper, NULL);
	return c.err;
}
