/*
 * What the kernel keeps of the descriptors of a task, read from outside by BPF iterators (bpf_iter.h): all of them at
 * once. Most need no further look then, and none has to be compared with another to find out whether both share it.
 */
#ifndef CKPT_FD_SEEN_H
#define CKPT_FD_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arena.h"
#include "bpf_iter.h"

struct bpf_types;
struct sk_seen;

struct fd_programs {
	const struct bpf_types *types;
	struct bpf_iter fds;
	struct bpf_iter sockets; /* loaded with the first read */
	uint64_t eventfds; /* address of what the kernel does to eventfds; 0: not known */
	bool sockets_tried, sees_sockets; /* sees: their options show in it (sk_seen.h) */
};

/* The types must stay. Returns 0 or -errno (not logged). */
int fd_programs_load(struct fd_programs *programs, const struct bpf_types *types);
void fd_programs_close(struct fd_programs *programs);

struct fd_seen {
	int number;
	/*
	 * Nothing is to be known of it but what is here: a regular file of a usual file system with its name, a pipe,
	 * an eventfd, a socket that is connected and at rest, all without locks and owners.
	 */
	bool plain;
	bool locked; /* somebody has a lock on its inode, or had */
	bool owned; /* signals are sent when something happens to it, or would be */
	bool cloexec;
	uint64_t address; /* of its open file description in the kernel: two of the same are one */
	unsigned int flags; /* O_*, without O_CLOEXEC */
	uint64_t pos, ino, size;
	dev_t dev;
	mode_t mode;
	nlink_t nlink;
	uint64_t magic; /* f_type of its file system: man 2 statfs */
	uint64_t dir; /* inode of the directory that has its name */
	union {
		struct {
			uint32_t readers, writers, size; /* size: bytes */
			bool empty;
		} pipe;
		struct {
			uint64_t count;
			int id;
			bool semaphore;
		} eventfd;
		const struct sk_seen *socket; /* NULL: it is none, or is not known */
	};
	bool is_eventfd;
	const char *name; /* of a regular file, as the link in /proc/PID/fd has it; "": it is none, or not known */
};

/* Zeros are an empty one. */
struct fd_seen_list {
	struct fd_seen *list; /* ascending by numbers; owned */
	size_t n;
	struct sk_seen *sockets; /* the same; owned */
	size_t n_sockets;
	uint64_t eventfds; /* see struct fd_programs */
	struct arena names;
};

struct sk_alike;
/*
 * Reads those of a stopped task (of one of its threads: struct dump_task.member). alike: what is known of sockets of
 * the whole tree. Returns 0 or -errno (not logged).
 */
int fd_seen_read(struct fd_programs *programs, pid_t tid, struct sk_alike **alike, struct fd_seen_list *seen);
void fd_seen_free(struct fd_seen_list *seen);

#endif
