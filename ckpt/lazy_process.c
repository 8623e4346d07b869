/*
 * The processes of a lazy restore, over userfaultfd(2): pages for those who wait, the rest in the background, and the
 * books of what forks, moves and vanishes.
 *
 * No page is put in place between the reading of an event and what follows from it: the kernel refuses (EAGAIN) to put
 * pages in place while an event is waiting, so what we believe of the memory is true when we act on it.
 *
 * Does not handle: memory that the restored program marks MADV_WIPEONFORK while its pages are missing (a child that it
 * forks then gets them, too).
 */
#include "lazy_process.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "page_source.h"

#define FAULT_WINDOW (128ul << 10) /* given at once to who waits for a page of it */
#define CHUNK (256ul << 10) /* given at once in the background: it stays in the cache of the CPU */
#define RETRY_US 50
#define TRIES_MAX 200000 /* 10 s */
#define NO_MEMORY_TRIES TRIES_MAX

static void wake_main(struct daemon *d)
{
	uint64_t one = 1;

	if (write(d->wake, &one, sizeof(one)) != sizeof(one))
		d->failed = true;
}

/* Sources of pages */

int lazy_find_file(struct daemon *d, uint32_t depth, uint32_t id)
{
	for (size_t i = 0; i < d->n_files; i++)
		if (d->files[i].depth == depth && d->files[i].id == id)
			return i;
	if (depth > d->options->chain->n_parents) {
		log_err("the restore wants pages of parent %u, but there are %zu: is this the directory that it uses?",
			depth, d->options->chain->n_parents);
		return -EBADMSG;
	}
	struct page_file *grown = realloc(d->files, (d->n_files + 1) * sizeof(*grown));
	if (!grown)
		return log_errno(ENOMEM, "page images");
	d->files = grown;
	int fd = image_open_raw(image_chain_dir(d->options->chain, depth), IMG_PAGES, id);
	if (fd == -ENOENT)
		return log_errno(ENOENT, "pages-%u.img", id);
	if (fd < 0)
		return fd;
	grown[d->n_files] = (struct page_file){ depth, id, fd };
	return d->n_files++;
}

/* Fills buf with the pages of a piece. */
static int read_piece(struct daemon *d, const struct process *p, const struct lazy_piece *piece, char *buf)
{
	uint64_t len = piece->end - piece->start;

	if (piece->file == LAZY_REMOTE) {
		pthread_mutex_lock(&d->server_lock);
		int err = page_source_ask(d->options->page_server, p->pid, piece->image, len / IMAGE_PAGE_SIZE, buf);
		pthread_mutex_unlock(&d->server_lock);
		return err;
	}
	for (uint64_t done = 0; done < len;) {
		const struct page_file *file = &d->files[piece->file];
		ssize_t n = pread(file->fd, buf + done, len - done, piece->offset + done);

		if (n <= 0)
			return log_errno(n ? errno : ENODATA, "can't read pages-%u.img", file->id);
		done += n;
	}
	return 0;
}

/* Processes. All of these with p->events for writing. */

void lazy_end_process(struct daemon *d, struct process *p)
{
	if (p->uffd < 0)
		return;
	lazy_set_free(&p->set);
	lazy_moves_free(&p->moves);
	keep_remove(d->keep, p->slot);
	close(p->uffd);
	p->uffd = -1;
	p->n_later = 0;
}

static int no_memory(void)
{
	return log_errno(ENOMEM, "a lazy restore");
}

static void nap(void)
{
	const struct timespec time = { .tv_nsec = RETRY_US * 1000 };

	nanosleep(&time, NULL);
}

enum { PLACED, LATER, GONE };

/*
 * Puts pages in place, from *at on, which moves along. Returns PLACED, LATER (an event waits to be read), GONE (so is
 * the memory) or -errno (logged).
 */
static int copy_in(struct process *p, const struct lazy_piece *piece, const char *bytes, uint64_t *at)
{
	uint64_t most = piece->end - *at;

	for (int tries = 0; *at < piece->end;) {
		uint64_t len = piece->end - *at < most ? piece->end - *at : most;
		struct uffdio_copy copy = { *at, (uint64_t)(bytes + (*at - piece->start)), len, 0, 0 };
		int err = ioctl(p->uffd, UFFDIO_COPY, &copy) ? errno : 0;

		if (copy.copy > 0) {
			p->quiet = true;
			*at += copy.copy;
			continue;
		}
		if (err == EAGAIN) {
			return LATER;
		} else if (err == ENOENT && len > IMAGE_PAGE_SIZE) { /* more than one area, perhaps */
			most = len / 2 & -IMAGE_PAGE_SIZE;
		} else if (err == ENOENT) { /* it is not mapped here: MADV_DONTFORK */
			*at += IMAGE_PAGE_SIZE;
		} else if (err == ESRCH) {
			return GONE;
		} else if (err == ENOMEM && tries++ < NO_MEMORY_TRIES) {
			nap();
		} else { /* EEXIST, too: whatever is there, it is not what should be */
			return log_errno(err, "can't put a page at 0x%llx of task %llu in place",
					 (unsigned long long)*at, (unsigned long long)p->pid);
		}
	}
	return PLACED;
}

/* A page of no image, which has been touched for the first time, or was given back. */
static int give_zeros(struct process *p, uint64_t page)
{
	struct uffdio_zeropage zero = { { page, IMAGE_PAGE_SIZE }, 0, 0 };
	struct uffdio_range range = { page, IMAGE_PAGE_SIZE };

	if (!ioctl(p->uffd, UFFDIO_ZEROPAGE, &zero))
		return PLACED;
	switch (errno) {
	case EEXIST: /* it came meanwhile */
		ioctl(p->uffd, UFFDIO_WAKE, &range);
		return PLACED;
	case ENOENT: /* nothing is there any more: whoever waits finds out */
		ioctl(p->uffd, UFFDIO_WAKE, &range);
		return PLACED;
	case EAGAIN:
		return LATER;
	case ESRCH:
		return GONE;
	default:
		return log_errno(errno, "can't give a page at 0x%llx to task %llu", (unsigned long long)page,
				 (unsigned long long)p->pid);
	}
}

static int on_fault(struct daemon *d, struct process *p, uint64_t address)
{
	static char buffer[FAULT_WINDOW] __attribute__((aligned(4096)));
	uint64_t page = address & -IMAGE_PAGE_SIZE;
	struct lazy_piece piece;

	if (lazy_moves_wait(&p->moves))
		return LATER;
	if (!lazy_set_find(&p->set, page, page + IMAGE_PAGE_SIZE, &piece))
		return give_zeros(p, page);
	/* What is in front is left to who fills: most programs go upwards. */
	lazy_set_find(&p->set, page, (page | (FAULT_WINDOW - 1)) + 1, &piece);
	int err = read_piece(d, p, &piece, buffer);
	if (err)
		return err;
	p->cursor = piece.end;
	uint64_t at = piece.start;
	int ret = copy_in(p, &piece, buffer, &at);
	return lazy_set_remove(&p->set, piece.start, at) ? no_memory() : ret;
}

/* Whoever waits there goes on waiting: woken, it would ask again at once, and questions come before events. */
static int postpone(struct process *p, uint64_t address)
{
	if (p->n_later == p->later_room) {
		size_t room = p->later_room ? 2 * p->later_room : 16;
		uint64_t *grown = realloc(p->later, room * sizeof(*grown));

		if (!grown)
			return no_memory();
		p->later = grown;
		p->later_room = room;
	}
	p->later[p->n_later++] = address;
	return PLACED;
}

/* All events have been read: those that wait have their turn. */
static int serve_later(struct daemon *d, struct process *p)
{
	size_t n = p->n_later;
	int ret = PLACED;

	p->n_later = 0;
	for (size_t i = 0; i < n && ret >= 0 && ret != GONE; i++) {
		ret = on_fault(d, p, p->later[i]);
		if (ret == LATER) /* to a place that was read already */
			ret = postpone(p, p->later[i]);
	}
	return ret;
}

/* The main thread must not wait for ever while others fill. */
static void init_locks(struct process *p)
{
	pthread_rwlockattr_t attributes;

	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&p->events, &attributes);
	pthread_rwlockattr_destroy(&attributes);
	pthread_mutex_init(&p->lock, NULL);
}

int lazy_add_process(struct daemon *d, int uffd, int pidfd, uint64_t pid, const struct lazy_set *set,
		     const struct lazy_set *used)
{
	struct process *p = calloc(1, sizeof(*p));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = p };

	if (!p || lazy_set_copy(set, &p->set) || lazy_moves_begin(&p->moves, used))
		return no_memory();
	*p = (struct process){ .uffd = uffd, .pidfd = pidfd, .pid = pid, .set = p->set, .moves = p->moves };
	init_locks(p);
	p->slot = keep_add(d->keep, uffd, pidfd);
	if (p->slot < 0)
		return p->slot;
	if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, uffd, &event))
		return log_errno(errno, "can't listen to a userfaultfd");
	p->next = d->processes;
	d->processes = p;
	return 0;
}

/* Handles one event. Returns PLACED, GONE or -errno (logged). */
static int on_event(struct daemon *d, struct process *p, const struct uffd_msg *msg)
{
	uint64_t from = msg->arg.remap.from, start = msg->arg.remove.start;
	int err = p->quiet ? lazy_moves_settle(&p->moves, &p->set) : 0;

	p->quiet = false;
	if (err)
		return no_memory();
	switch (msg->event) {
	case UFFD_EVENT_PAGEFAULT:
		err = on_fault(d, p, msg->arg.pagefault.address);
		return err == LATER ? postpone(p, msg->arg.pagefault.address) : err;
	case UFFD_EVENT_FORK:
		return lazy_add_process(d, msg->arg.fork.ufd, -1, p->pid, &p->set, &p->moves.used);
	case UFFD_EVENT_REMAP:
		err = lazy_moves_add(&p->moves, &p->set, from, msg->arg.remap.to, msg->arg.remap.len);
		break;
	case UFFD_EVENT_REMOVE:
		err = lazy_set_remove(&p->set, start, msg->arg.remove.end);
		break;
	case UFFD_EVENT_UNMAP:
		err = lazy_moves_unmap(&p->moves, &p->set, start, msg->arg.remove.end);
		break;
	}
	return err ? no_memory() : PLACED;
}

/* What moves that wait were waiting for has been told by now, or will not be. Asks the kernel by a call that does
 * nothing. */
static int settle(struct process *p)
{
	struct uffdio_continue nothing = { .range = { 1 << 16, IMAGE_PAGE_SIZE } };

	if (!lazy_moves_wait(&p->moves) || (ioctl(p->uffd, UFFDIO_CONTINUE, &nothing) && errno == EAGAIN))
		return PLACED;
	return lazy_moves_settle(&p->moves, &p->set) ? no_memory() : PLACED;
}

/* One event at a time: what follows it may depend on what it changes. */
int lazy_serve(struct daemon *d, struct process *p)
{
	int ret = PLACED;

	pthread_rwlock_wrlock(&p->events);
	while (ret >= 0 && ret != GONE && p->uffd >= 0) {
		struct uffd_msg msg;
		ssize_t n = read(p->uffd, &msg, sizeof(msg));

		if (n < 0 && errno == EAGAIN)
			break;
		ret = n == sizeof(msg) ? on_event(d, p, &msg) : errno == EINTR ? PLACED : GONE;
	}
	if (ret >= 0 && ret != GONE && p->uffd >= 0)
		ret = settle(p);
	if (ret >= 0 && ret != GONE && p->uffd >= 0)
		ret = serve_later(d, p);
	if (ret == GONE)
		lazy_end_process(d, p);
	pthread_rwlock_unlock(&p->events);
	return ret < 0 ? ret : 0;
}

/* Filling: others fill the same process meanwhile, but no event is read */

static void begin_filling(struct process *p)
{
	pthread_rwlock_rdlock(&p->events);
	pthread_mutex_lock(&p->lock);
}

static void end_filling(struct process *p)
{
	pthread_mutex_unlock(&p->lock);
	pthread_rwlock_unlock(&p->events);
}

/* The next process that has pages missing; NULL: none. */
static struct process *next_process(struct daemon *d)
{
	struct process *found = NULL;

	pthread_mutex_lock(&d->fill_lock);
	for (int round = 0; round < 2 && !found; round++) {
		struct process *p = round || !d->next_to_fill ? d->processes : d->next_to_fill;

		for (; p && !found; p = p->next) {
			begin_filling(p);
			if (p->uffd >= 0 && p->set.bytes) {
				found = p;
				d->next_to_fill = p->next;
			}
			end_filling(p);
		}
	}
	pthread_mutex_unlock(&d->fill_lock);
	return found;
}

/* Chooses what is next and leaves it in the set. Returns whether there is anything. */
static bool choose_chunk(struct process *p, struct lazy_piece *chunk)
{
	begin_filling(p);
	bool found =
		p->uffd >= 0 && !lazy_moves_wait(&p->moves) &&
		(lazy_set_find(&p->set, p->cursor, UINT64_MAX, chunk) || lazy_set_find(&p->set, 0, UINT64_MAX, chunk));
	if (found && chunk->end - chunk->start > CHUNK)
		chunk->end = chunk->start + CHUNK;
	if (found)
		p->cursor = chunk->end;
	end_filling(p);
	return found;
}

/* Takes the first of what is still wanted of a chunk out of the set. Returns 1, 0: nothing is, or -errno (logged). */
static int claim(struct process *p, const struct lazy_piece *chunk, uint64_t from, struct lazy_piece *piece)
{
	for (; lazy_set_find(&p->set, from, chunk->end, piece); from = piece->end) {
		/* Something else may have moved there. */
		if (piece->image - piece->start != chunk->image - chunk->start || piece->file != chunk->file)
			continue;
		return lazy_set_remove(&p->set, piece->start, piece->end) ? no_memory() : 1;
	}
	return 0;
}

/* Puts what is still wanted of a chunk in place: meanwhile some of it may have come, moved or vanished. */
static int place_chunk(struct process *p, const struct lazy_piece *chunk, const char *bytes)
{
	struct lazy_piece piece = { .end = chunk->start };
	int ret = PLACED, claimed;

	begin_filling(p);
	while (ret == PLACED && p->uffd >= 0 && (claimed = claim(p, chunk, piece.end, &piece))) {
		uint64_t at = piece.start;

		if (claimed < 0) {
			ret = claimed;
			break;
		}
		pthread_mutex_unlock(&p->lock);
		ret = copy_in(p, &piece, bytes + (piece.start - chunk->start), &at);
		pthread_mutex_lock(&p->lock);
		if (at < piece.end && lazy_set_put_back(&p->set, &piece, at))
			ret = no_memory();
	}
	end_filling(p);
	return ret;
}

static int fill_some(struct daemon *d, struct process *p, char *buffer)
{
	struct lazy_piece chunk;

	if (!choose_chunk(p, &chunk)) { /* or there is something to be heard first */
		nap();
		return 0;
	}
	int ret = read_piece(d, p, &chunk, buffer);
	for (int tries = 0; ret >= 0; tries++) {
		ret = place_chunk(p, &chunk, buffer);
		if (ret != LATER)
			break;
		/* The main thread has an event to read. */
		if (tries == TRIES_MAX) {
			log_err("memory at 0x%llx of task %llu does not take its pages",
				(unsigned long long)chunk.start, (unsigned long long)p->pid);
			return -EAGAIN;
		}
		nap();
	}
	if (ret == GONE) {
		pthread_rwlock_wrlock(&p->events);
		lazy_end_process(d, p);
		pthread_rwlock_unlock(&p->events);
	}
	return ret < 0 ? ret : 0;
}

void *lazy_fill(void *arg)
{
	static _Thread_local char buffer[CHUNK] __attribute__((aligned(4096)));
	struct daemon *d = arg;

	while (!d->failed && !d->done) {
		struct process *p = d->filling ? next_process(d) : NULL;

		if (!p) {
			if (d->filling)
				wake_main(d);
			struct timespec time = { .tv_nsec = 2000000 };
			nanosleep(&time, NULL);
			continue;
		}
		if (fill_some(d, p, buffer)) {
			d->failed = true;
			wake_main(d);
		}
	}
	return NULL;
}
