/*
 * io_uring(7): a ring that is at rest. Sizes, counters, registered buffers are in fdinfo, all that user and kernel
 * share is read from the ring itself, which our duplicate of the descriptor can map. How it was set up is not told:
 * what makes a difference is found by calls that fail in one way or another, and change nothing.
 *
 * Whether requests are on the way is not told either, but for those that wait for a file. A ring is at rest when as
 * many have completed as were taken; where requests may complete more than once, or without a word, that means nothing,
 * and the ring is refused. Such rings are known by what is left in the memory of theirs of past requests.
 *
 * Not seen: IORING_SETUP_SUBMIT_ALL, _COOP_TASKRUN, _TASKRUN_FLAG, _ATTACH_WQ, limits of workers, a clock for timeouts,
 * without which a program that follows the man pages does its work as well; IORING_SETUP_SQE128 and _CQE32 in small
 * rings that were hardly used. Of a registered file the path is told: it is taken for the descriptor with that path.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "dump.h"
#include "io_uring.h"
#include "io_uring_map.h"
#include "io-uring.pb-c.h"
#include "kernel_abi.h"
#include "log.h"
#include "proc_fdinfo.h"

#define PAGE 4096ul
#define USUAL_GROUPS 1024
#define NAPS 50 /* for requests on the way, of all rings together */
#define NAP 4000000 /* ns */
#define RESTRICTED "it has restrictions (IORING_REGISTER_RESTRICTIONS), which nothing shows"
#define CQE_MANY (IORING_CQE_F_MORE | IORING_CQE_F_NOTIF) /* of requests that complete more than once */

struct ring {
	int fd; /* our own */
	uint32_t *registered; /* ids of the registered files of info, once these are known */
	struct fdinfo_uring info;
	struct uring u;
	uint32_t setup_flags;
	bool asked; /* its only user has said all */
	const char *why, *remedy; /* it cannot be dumped; NULL: it can */
};

static bool match(const struct fd_info *info)
{
	return !strcmp(info->link, IO_URING_LINK);
}

static int read_info(struct ring *r)
{
	_cleanup_close_ int proc = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[32];
	int err = proc < 0 ? -errno : -EAGAIN;

	snprintf(name, sizeof(name), "fdinfo/%d", r->fd);
	for (int tries = 0; err == -EAGAIN && tries < NAPS; tries++) {
		_cleanup_free_ char *text = NULL;

		if (tries)
			nanosleep(&(struct timespec){ .tv_nsec = NAP }, NULL);
		fdinfo_free_uring(&r->info);
		err = proc_read(proc, name, &text, NULL);
		err = err ? err : fdinfo_parse_uring(text, &r->info);
	}
	return err;
}

static bool zeros(const uint8_t *at, const uint8_t *end)
{
	for (; at < end; at++)
		if (*at)
			return false;
	return true;
}

/* Whether there is a page of the ring at offset: a mapping may be larger than what is in it. */
static bool has_page(int fd, size_t offset, uint64_t which)
{
	size_t len = (offset + PAGE) & -PAGE;
	uint8_t *map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, which);

	if (map == MAP_FAILED)
		return false;
	/* before 6.10 it is mapped as a whole, and this is not for such memory */
	bool there = !madvise(map + len - PAGE, PAGE, MADV_POPULATE_READ) || errno == EINVAL;
	munmap(map, len);
	return there;
}

/*
 * Larger entries of either kind make a ring larger than another one, or stand where those of the usual size have ended.
 */
static bool has_large_entries(const struct ring *r, int other)
{
	size_t rings = (r->u.rings_size + PAGE - 1) & -PAGE, sqes = (r->u.sqes_size + PAGE - 1) & -PAGE;

	return has_page(r->fd, rings, IORING_OFF_SQ_RING) != has_page(other, rings, IORING_OFF_SQ_RING) ||
	       has_page(r->fd, sqes, IORING_OFF_SQES) != has_page(other, sqes, IORING_OFF_SQES) ||
	       !zeros(r->u.rings + r->u.rings_size, r->u.rings + rings) ||
	       !zeros(r->u.sqes + r->u.sqes_size, r->u.sqes + sqes);
}

/* It was made without an array of indices, which may have had a page of its own. */
static bool is_without_array(const struct ring *r)
{
	return !has_page(r->fd, r->u.rings_size - 1, IORING_OFF_SQ_RING);
}

static const struct io_uring_cqe *cqes(const struct ring *r)
{
	return (const struct io_uring_cqe *)(r->u.rings + r->u.p.cq_off.cqes);
}

/* Signs of requests that complete more than once or in silence, or that use what was registered and is not shown. */
static const char *strange_request(const struct ring *r)
{
	const struct io_uring_sqe *sqe = (const struct io_uring_sqe *)r->u.sqes;

	for (uint32_t i = 0; i < r->u.p.cq_entries; i++)
		if (cqes(r)[i].flags & CQE_MANY)
			return "its requests complete more than once (multishot, zero copy), so nothing shows whether "
			       "some "
			       "are on the way";
	for (uint32_t i = 0; i < r->u.p.sq_entries; i++) {
		if (sqe[i].flags & IOSQE_CQE_SKIP_SUCCESS)
			return "its requests complete without a word (IOSQE_CQE_SKIP_SUCCESS), so nothing shows "
			       "whether "
			       "some are on the way";
		if (sqe[i].flags & IOSQE_BUFFER_SELECT || sqe[i].opcode == IORING_OP_PROVIDE_BUFFERS)
			return "its requests choose among provided buffers, which nothing shows";
		if (sqe[i].personality)
			return "its requests have personalities (IORING_REGISTER_PERSONALITY), which nothing shows";
	}
	return NULL;
}

/*
 * Groups of provided buffers: those with usual numbers are asked for. Others, and all before Linux 6.8, only requests
 * tell (strange_request).
 */
static bool has_provided_buffers(int fd)
{
	for (uint32_t group = 0; group < USUAL_GROUPS; group++) {
		struct uring_buf_status status = { .buf_group = group };
		int err = uring_register(fd, URING_REGISTER_PBUF_STATUS, &status, 1);

		if (err != -ENOENT)
			return group || !err; /* an old kernel says EINVAL */
	}
	return false;
}

/*
 * What was registered, or how it was set up: each call fails for one reason or the other. Only for a ring at rest:
 * before Linux 5.18 some of them wait until it is.
 */
static const char *why_by_calls(int (*call)(void *arg, uint32_t opcode, uint32_t n), void *arg)
{
	int err = call(arg, IORING_REGISTER_RESTRICTIONS, 0);

	if (err == -EACCES)
		return RESTRICTED;
	if (err != -EBADFD)
		return "it was not enabled yet (IORING_SETUP_R_DISABLED)";
	if (call(arg, IORING_REGISTER_EVENTFD, 1) == -EBUSY)
		return "it tells an eventfd of completions (IORING_REGISTER_EVENTFD), and nothing shows which";
	if (call(arg, URING_REGISTER_MEM_REGION, 1) == -EBUSY)
		return "it has a region of memory for arguments (IORING_REGISTER_MEM_REGION), which nothing shows";
	return NULL;
}

static int call_ourselves(void *arg, uint32_t opcode, uint32_t n)
{
	const struct ring *r = arg;

	return uring_register(r->fd, opcode, NULL, n);
}

struct main_thread {
	struct dump_thread *th;
	uint64_t fd; /* the ring's */
};

static int call_in_thread(void *arg, uint32_t opcode, uint32_t n)
{
	const struct main_thread *m = arg;

	return remote_do(&m->th->remote, NULL, SYS_io_uring_register, m->fd, opcode, 0, n);
}

/* What is asked of a ring when it is at rest. */
static const char *why_at_rest(struct ring *r)
{
	/* no such time, and, for kernels before 6.12, which look at that later, something where nothing may be */
	const struct io_uring_getevents_arg arg = { .ts = 1, .pad = 1 };
	bool single = r->setup_flags & IORING_SETUP_SINGLE_ISSUER;
	const char *why = single ? NULL : why_by_calls(call_ourselves, r);

	if (why)
		return why;
	if (single && !r->asked)
		return "only one thread may use it (IORING_SETUP_SINGLE_ISSUER), and that is not the main thread of "
		       "the "
		       "only process that holds it";
	if (!single && has_provided_buffers(r->fd))
		return "it has provided buffers, which nothing shows";
	/* nobody but its user may wait for completions of one whose work he does himself */
	if (single && uring_enter(r->fd, 0, IORING_ENTER_GETEVENTS, NULL, 0) == -EEXIST)
		r->setup_flags |= IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
	int err = uring_enter(r->fd, 0, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof(arg));
	if (!err || err == -EEXIST)
		r->setup_flags |= IORING_SETUP_IOPOLL;
	return strange_request(r);
}

/* What stands in the way, before anybody waits for anything. */
static const char *why_not(struct ring *r)
{
	_cleanup_close_ int other = -1;
	int err;

	r->u.p.flags = IORING_SETUP_CQSIZE;
	r->u.p.cq_entries = r->info.cq_mask + 1;
	other = uring_setup(r->info.sq_mask + 1, &r->u.p);
	if (other < 0)
		return "no ring of this size can be made";
	if (r->info.sq_thread >= 0)
		return "a thread of the kernel's submits for it (IORING_SETUP_SQPOLL), whose settings nothing shows";
	if (uring_map(r->fd, &r->u))
		return "its rings lie in memory of the program (IORING_SETUP_NO_MMAP)";
	if (is_without_array(r))
		return "it has no array of indices (IORING_SETUP_NO_SQARRAY)";
	if (has_large_entries(r, other))
		return "its entries are larger than usual (IORING_SETUP_SQE128, IORING_SETUP_CQE32)";
	if (r->info.personalities)
		return "it has registered personalities (IORING_REGISTER_PERSONALITY), which nothing shows";
	err = uring_register(r->fd, IORING_REGISTER_PROBE, NULL, 0);
	r->setup_flags = err == -EEXIST ? IORING_SETUP_SINGLE_ISSUER : 0;
	return err == -EACCES ? RESTRICTED : NULL;
}

static int collect(struct dump *d, struct dump_file *f, const struct fd_info *info)
{
	struct ring *r = calloc(1, sizeof(*r));

	f->data = r;
	if (!r)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	r->fd = fcntl(info->fd, F_DUPFD_CLOEXEC, 0);
	int err = r->fd < 0 ? -errno : read_info(r);
	if (err)
		return log_errno(-err, "can't look at the ring of %s of task %d", f->where, f->pid);
	r->why = why_not(r);
	r->remedy = "have the program close the ring before the dump, or run it without io_uring "
		    "(sysctl kernel.io_uring_disabled=2)";
	return 0;
}

static size_t count_holders(const struct dump *d, const struct dump_file *f)
{
	size_t n = 0;

	for (size_t i = 0; i < d->n_tasks; i++) {
		bool holds = false;

		for (size_t j = 0; j < d->tasks[i]->n_fds; j++)
			holds |= d->tasks[i]->fds[j].file == f;
		n += holds;
	}
	return n;
}

/* Whether a path tells of a descriptor what it is: not if many files, or both ends of one, are called like that. */
static bool is_telling(const char *path)
{
	return *path == '/' || !strncmp(path, "socket:", 7);
}

/*
 * The file that was registered under a path: the one of that path that a task holds who holds the ring. NULL: there is
 * none, or there are several.
 */
static const struct dump_file *find_registered(const struct dump *d, const struct dump_file *ring, const char *path)
{
	const struct dump_file *found = NULL;

	for (size_t i = 0; i < d->n_tasks && is_telling(path); i++) {
		const struct dump_task *t = d->tasks[i];
		bool holds = false;

		for (size_t j = 0; j < t->n_fds; j++)
			holds |= t->fds[j].file == ring;
		for (size_t j = 0; j < t->n_fds && holds; j++) {
			const struct dump_file *f = t->fds[j].file;

			if (f == found || strcmp(f->link, path))
				continue;
			if (found)
				return NULL;
			found = f;
		}
	}
	return found;
}

static int judge_files(struct dump *d, const struct dump_file *f, struct ring *r)
{
	free(r->registered);
	r->registered = calloc(r->info.files + 1, sizeof(*r->registered));
	if (!r->registered)
		return log_errno(ENOMEM, "%s of task %d", f->where, f->pid);
	for (size_t i = 0; i < r->info.files && !r->why; i++) {
		const struct dump_file *file = find_registered(d, f, r->info.file[i].path);

		r->registered[i] = file ? file->id : 0;
		if (!file)
			r->why = "it has registered files (IORING_REGISTER_FILES) that are not one descriptor of its "
				 "holder, by their path";
	}
	return 0;
}

static int judge_ring(struct dump *d, const struct dump_file *f)
{
	struct ring *r = f->data;
	int err = judge_files(d, f, r);

	if (err)
		return err;
	if (!r->why && f->in_flight)
		r->why = "it is in flight in a UNIX socket";
	if (!r->why && r->info.buffers && count_holders(d, f) > 1)
		r->why =
			"it has registered buffers, and several processes hold it: nothing shows whose memory they are";
	return r->why ? blocker_add(d, f->pid, "io_uring", r->why, r->remedy, "%s", f->where) : 0;
}

/* Requests that were taken and have not completed: fewer than none where nobody can tell. */
static int32_t on_the_way(const struct ring *r)
{
	uint32_t dropped = *uring_at(&r->u, r->u.p.sq_off.dropped), lost = *uring_at(&r->u, r->u.p.cq_off.overflow);
	int32_t n = (r->info.cached_sq_head - dropped) - (r->info.cached_cq_tail + lost);

	return r->info.polls && n >= 0 && n < (int32_t)r->info.polls ? (int32_t)r->info.polls : n;
}

/* Work that was put off until its user asks for completions is done then. */
int io_uring_ask_main(struct dump_thread *th)
{
	struct dump *d = th->task->dump;

	for (size_t i = 0; i < th->task->n_fds; i++) {
		struct dump_file *f = th->task->fds[i].file;
		struct ring *r = f->kind == &dump_fd_io_uring ? f->data : NULL;
		struct main_thread m = { th, th->task->fds[i].fd };

		if (!r || r->why || r->asked || !(r->setup_flags & IORING_SETUP_SINGLE_ISSUER) ||
		    count_holders(d, f) > 1 || call_in_thread(&m, IORING_REGISTER_PROBE, 0) == -EEXIST)
			continue;
		r->asked = true;
		remote_do(&th->remote, NULL, SYS_io_uring_enter, m.fd, 0, 0, IORING_ENTER_GETEVENTS);
		r->why = why_by_calls(call_in_thread, &m);
		int err = r->why ? judge_ring(d, f) : 0;
		if (err)
			return err;
	}
	return 0;
}

/* What a request on the way has to tell may wait for any thread to go on: each does, for a moment. */
static void stir_threads(const struct dump *d)
{
	for (size_t i = 0; i < d->n_threads; i++) {
		struct dump_thread *th = d->threads[i];

		if (th->remote.home && &th->remote != th->task->parasite.thread)
			remote_do(&th->remote, NULL, SYS_getpid);
	}
}

static int wait_for_ring(struct dump *d, const struct dump_file *f, struct ring *r)
{
	char reason[160];
	int err = 0;

	while (!err) {
		err = read_info(r);
		if (!err && !on_the_way(r) && !r->info.overflows) {
			r->why = why_at_rest(r);
			return r->why ? judge_ring(d, f) : 0;
		}
		if (d->ring_naps++ >= NAPS)
			break;
		stir_threads(d);
		nanosleep(&(struct timespec){ .tv_nsec = NAP }, NULL);
		err = err ? err : interrupted();
	}
	if (err)
		return log_errno(-err, "can't look at the ring of %s of task %d", f->where, f->pid);
	int32_t n = on_the_way(r);
	if (n > 0)
		snprintf(reason, sizeof(reason), "%d of its requests %s on the way (%u of them wait for a file)", n,
			 n == 1 ? "is" : "are", r->info.polls);
	else if (n < 0)
		snprintf(reason, sizeof(reason),
			 "there were more completions than requests, so nothing shows whether some are on the way");
	else
		snprintf(reason, sizeof(reason), "%u completions have found no room in it", r->info.overflows);
	return blocker_add(d, f->pid, "io_uring", reason, "dump the program when they have ended", "%s", f->where);
}

int io_uring_wait(struct dump_task *t)
{
	int err = 0;

	struct dump_file *f = NULL;

	while (!err && (f = files_next_of(t->dump, &dump_fd_io_uring, f))) {
		struct ring *r = f->data;

		if (f->pid == t->pid && !r->why)
			err = wait_for_ring(t->dump, f, r);
	}
	return err;
}

bool io_uring_is_area(const struct vma *v)
{
	return !strcmp(v->name, IO_URING_LINK);
}

/* Each thread asks, and areas may be many. */
bool io_uring_has(struct dump_task *t)
{
	for (size_t i = 0; i < t->vmas.n && !t->rings_known; i++)
		t->has_rings |= io_uring_is_area(&t->vmas.v[i]);
	for (size_t i = 0; i < t->n_fds && !t->rings_known; i++)
		t->has_rings |= t->fds[i].file->kind == &dump_fd_io_uring;
	t->rings_known = true;
	return t->has_rings;
}

int io_uring_judge_area(struct dump_task *t, const struct vma *v, struct dump_file **file)
{
	const char *why = NULL;

	*file = NULL;
	for (struct dump_file *f = NULL; !*file && (f = files_next_of(t->dump, &dump_fd_io_uring, f));)
		if (f->st.st_ino == v->ino && f->st.st_dev == v->dev)
			*file = f;
	if (!*file)
		why = "all descriptors of the ring are closed";
	else if (!v->shared)
		why = "it is a private mapping of a ring";
	else if (v->pgoff != IORING_OFF_SQ_RING && v->pgoff != IORING_OFF_CQ_RING && v->pgoff != IORING_OFF_SQES)
		why = "it is not the begin of a ring";
	if (!why)
		return 0;
	*file = NULL;
	return blocker_add(t->dump, t->pid, "io_uring", why, "have the program end its use of the ring before the dump",
			   "area %lx-%lx", v->start, v->end);
}

/* Without zeros at the end. */
static void fill_bytes(ProtobufCBinaryData *to, uint8_t *data, size_t len)
{
	while (len && !data[len - 1])
		len--;
	to->data = data;
	to->len = len;
}

static int fill_buffers(const struct ring *r, IoUringFileEntry *to, struct arena *arena)
{
	IoUringBufferEntry *e = arena_get(arena, r->info.buffers * sizeof(*e) + 1);

	to->buffers = arena_get(arena, r->info.buffers * sizeof(*to->buffers) + 1);
	if (!e || !to->buffers)
		return -ENOMEM;
	for (size_t i = 0; i < r->info.buffers; i++) {
		io_uring_buffer_entry__init(&e[i]);
		e[i].index = r->info.buffer[i].index;
		e[i].addr = r->info.buffer[i].addr;
		e[i].len = r->info.buffer[i].len;
		to->buffers[to->n_buffers++] = &e[i];
	}
	return 0;
}

static int fill_files(const struct ring *r, IoUringFileEntry *to, struct arena *arena)
{
	IoUringSlotEntry *e = arena_get(arena, r->info.files * sizeof(*e) + 1);

	to->files = arena_get(arena, r->info.files * sizeof(*to->files) + 1);
	if (!e || !to->files)
		return -ENOMEM;
	for (size_t i = 0; i < r->info.files; i++) {
		io_uring_slot_entry__init(&e[i]);
		e[i].index = r->info.file[i].index;
		e[i].file_id = r->registered[i];
		to->files[to->n_files++] = &e[i];
	}
	return 0;
}

static int fill(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena)
{
	struct ring *r = f->data;
	IoUringFileEntry *to = arena_get(arena, sizeof(*to));

	if (!to)
		return -ENOMEM;
	io_uring_file_entry__init(to);
	to->id = f->id;
	to->flags = f->flags;
	to->fown = (FownEntry *)&f->fown;
	to->setup_flags = r->setup_flags;
	to->features = r->u.p.features;
	to->sq_entries = r->u.p.sq_entries;
	to->cq_entries = r->u.p.cq_entries;
	to->sq_head = r->info.cached_sq_head;
	to->cq_tail = r->info.cached_cq_tail;
	to->offsets = (uint32_t *)&r->u.p.sq_off;
	to->n_offsets = URING_OFFSETS;
	fill_bytes(&to->rings, r->u.rings, r->u.rings_size);
	fill_bytes(&to->sqes, r->u.sqes, r->u.sqes_size);
	to->has_file_slots = r->info.n_files;
	to->file_slots = r->info.n_files;
	to->has_buffer_slots = r->info.n_buffers;
	to->buffer_slots = r->info.n_buffers;
	e->io_uring = to;
	int err = fill_buffers(r, to, arena);
	return err ? err : fill_files(r, to, arena);
}

static void forget(void *data)
{
	struct ring *r = data;

	if (!r)
		return;
	uring_unmap(&r->u);
	fdinfo_free_uring(&r->info);
	free(r->registered);
	if (r->fd >= 0)
		close(r->fd);
}

const struct dump_fd_kind dump_fd_io_uring = {
	.name = "io_uring",
	.type = FD_TYPES__IO_URING,
	.match = match,
	.collect = collect,
	.judge = judge_ring,
	.fill = fill,
	.forget = forget,
};
