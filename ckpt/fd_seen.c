/* Descriptors by BPF iterators: names of members as in Linux 6.1 to 6.18. */
#include "fd_seen.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "array.h"
#include "cleanup.h"
#include "sk_seen.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif
#define MANY 256 /* worth a second thread */
#define DELETED " (deleted)"

enum value {
	FD,
	ADDRESS,
	OPERATIONS,
	FLAGS,
	POS,
	OWNER,
	SIGNAL,
	CLOEXEC,
	INO,
	MODE,
	NLINK,
	SIZE,
	DEV,
	MAGIC,
	LOCKS,
	DIR_INO,
	PIPE_HEAD,
	PIPE_TAIL,
	PIPE_READERS,
	PIPE_WRITERS,
	PIPE_SIZE,
	EVENTFD_COUNT,
	EVENTFD_FLAGS,
	EVENTFD_ID,
	NAME,
	VALUES
};

/* Of what is no pipe or no eventfd, the values of these mean nothing. */
static const char *const paths[] = {
	[FD] = "fd",
	[ADDRESS] = "file",
	[OPERATIONS] = "file.f_op",
	[FLAGS] = "file.f_flags",
	[POS] = "file.f_pos",
	[OWNER] = "file.f_owner.pid",
	[SIGNAL] = "file.f_owner.signum",
	[CLOEXEC] = "task.files.fdt.close_on_exec[fd]",
	[INO] = "file.f_inode.i_ino",
	[MODE] = "file.f_inode.i_mode",
	[NLINK] = "file.f_inode.i_nlink",
	[SIZE] = "file.f_inode.i_size",
	[DEV] = "file.f_inode.i_sb.s_dev",
	[MAGIC] = "file.f_inode.i_sb.s_magic",
	[LOCKS] = "file.f_inode.i_flctx", /* made by the first lock, and kept */
	[DIR_INO] = "file.f_path.dentry.d_parent.d_inode.i_ino",
	[PIPE_HEAD] = "file.f_inode.i_pipe.head",
	[PIPE_TAIL] = "file.f_inode.i_pipe.tail",
	[PIPE_READERS] = "file.f_inode.i_pipe.readers",
	[PIPE_WRITERS] = "file.f_inode.i_pipe.writers",
	[PIPE_SIZE] = "file.f_inode.i_pipe.max_usage",
	[EVENTFD_COUNT] = "file.private_data(eventfd_ctx).count",
	[EVENTFD_FLAGS] = "file.private_data(eventfd_ctx).flags",
	[EVENTFD_ID] = "file.private_data(eventfd_ctx).id",
	[NAME] = BPF_ITER_NAME,
	[VALUES] = NULL,
};

/* An eventfd of our own. */
struct own_eventfd {
	int fd;
	uint64_t operations;
};

static int take_own_eventfd(void *arg, const uint64_t *values)
{
	struct own_eventfd *own = arg;

	if (values[FD] == (uint64_t)own->fd)
		own->operations = values[OPERATIONS];
	return 0;
}

/* Eventfds are known by what the kernel does to them. 0: none are known. */
static uint64_t operations_of_eventfds(const struct bpf_iter *it)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);
	struct own_eventfd own = { fd, 0 };

	return fd < 0 || bpf_iter_read_thread(it, getpid(), take_own_eventfd, &own) ? 0 : own.operations;
}

int fd_programs_load(struct fd_programs *programs, const struct bpf_types *types)
{
	*programs = (struct fd_programs){ .types = types, .sockets.prog = -1 };
	int err = bpf_iter_load(&programs->fds, types, "task_file", paths);

	if (!err)
		programs->eventfds = operations_of_eventfds(&programs->fds);
	return err;
}

void fd_programs_close(struct fd_programs *programs)
{
	bpf_iter_close(&programs->fds);
	bpf_iter_close(&programs->sockets);
}

static bool is_deleted(const char *name)
{
	size_t len = strlen(name), end = strlen(DELETED);

	return len > end && !strcmp(name + len - end, DELETED);
}

/* On these file systems the kernel keeps of a file what fstat(2) says of it, and fdinfo says no more. */
static bool is_plain_file(const struct fd_seen *s)
{
	return S_ISREG(s->mode) && s->nlink && s->name[0] == '/' && !is_deleted(s->name) &&
	       (s->magic == EXT4_SUPER_MAGIC || s->magic == XFS_SUPER_MAGIC || s->magic == TMPFS_MAGIC);
}

/* Fills in what depends on what it is. */
static void look_closer(struct fd_seen *s, const uint64_t *values, uint64_t eventfds)
{
	if (S_ISFIFO(s->mode) && s->magic == PIPEFS_MAGIC) {
		s->plain = true;
		s->pipe.empty = values[PIPE_HEAD] == values[PIPE_TAIL];
		s->pipe.readers = values[PIPE_READERS];
		s->pipe.writers = values[PIPE_WRITERS];
		s->pipe.size = values[PIPE_SIZE] * sysconf(_SC_PAGESIZE);
	} else if (eventfds && values[OPERATIONS] == eventfds) {
		s->plain = s->is_eventfd = true;
		s->mode &= ~S_IFMT; /* nobody sees one, whatever the kernel has */
		s->eventfd.count = values[EVENTFD_COUNT];
		s->eventfd.id = values[EVENTFD_ID];
		s->eventfd.semaphore = values[EVENTFD_FLAGS] & EFD_SEMAPHORE;
	} else {
		s->plain = is_plain_file(s);
	}
	s->plain &= !s->owned && !s->locked && !(s->flags & O_PATH);
}

static int take(void *arg, const uint64_t *values)
{
	struct fd_seen_list *seen = arg;

	if (array_grow(&seen->list, seen->n, sizeof(*seen->list)))
		return -ENOMEM;
	struct fd_seen *s = &seen->list[seen->n++];
	*s = (struct fd_seen){ .number = values[FD],
			       .locked = values[LOCKS],
			       .owned = values[OWNER] || values[SIGNAL],
			       .cloexec = values[CLOEXEC],
			       .address = values[ADDRESS],
			       .flags = values[FLAGS] & ~O_CLOEXEC,
			       .pos = values[POS],
			       .ino = values[INO],
			       .size = values[SIZE],
			       .dev = makedev(values[DEV] >> 20, values[DEV] & 0xfffff),
			       .mode = values[MODE],
			       .nlink = values[NLINK],
			       .magic = values[MAGIC],
			       .dir = values[DIR_INO],
			       .name = values[NAME] ? arena_strdup(&seen->names, (const char *)(values + VALUES))
						    : "" };
	if (!s->name)
		return -ENOMEM;
	look_closer(s, values, seen->eventfds);
	return 0;
}

/* Reads sockets at the same time as all others. */
struct sockets_reader {
	struct fd_programs *programs;
	pid_t tid;
	struct fd_seen_list *seen;
	int err;
};

static void *read_sockets(void *arg)
{
	struct sockets_reader *r = arg;
	struct fd_programs *p = r->programs;

	if (!p->sockets_tried && !sk_seen_load(&p->sockets, p->types))
		p->sees_sockets = sk_seen_check(&p->sockets);
	p->sockets_tried = true;
	if (p->sees_sockets)
		r->err = sk_seen_read(&r->programs->sockets, r->tid, r->seen);
	return NULL;
}

/* The first of those that have the same options is looked at as ever, all others are plain. */
static int find_alike(struct fd_seen_list *seen, struct sk_alike **alike)
{
	size_t at = 0;

	for (size_t i = 0; i < seen->n_sockets; i++) {
		struct sk_seen *socket = &seen->sockets[i];
		bool known;

		while (at < seen->n && seen->list[at].number < socket->number)
			at++;
		if (at == seen->n || seen->list[at].number != socket->number)
			continue;
		struct fd_seen *s = &seen->list[at];
		s->socket = socket;
		if (!socket->at_rest)
			continue;
		socket->alike = sk_alike_find(alike, socket, &known);
		if (!socket->alike)
			return -ENOMEM;
		s->plain = known && S_ISSOCK(s->mode) && !s->owned && !s->locked;
	}
	return 0;
}

int fd_seen_read(struct fd_programs *programs, pid_t tid, struct sk_alike **alike, struct fd_seen_list *seen)
{
	struct sockets_reader sockets = { programs, tid, seen, 0 };
	seen->eventfds = programs->eventfds;
	pthread_t helper;
	bool helped = !pthread_create(&helper, NULL, read_sockets, &sockets);
	int err = bpf_iter_read_thread(&programs->fds, tid, take, seen);

	if (helped)
		pthread_join(helper, NULL);
	if (!err)
		err = sockets.err;
	return err ? err : find_alike(seen, alike);
}

void fd_seen_free(struct fd_seen_list *seen)
{
	free(take_ptr(seen->list));
	free(take_ptr(seen->sockets));
	arena_free(&seen->names);
	*seen = (struct fd_seen_list){};
}
