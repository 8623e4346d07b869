/*
 * What /proc/PID/fdinfo/N says about descriptors of the kernel's event kinds (fs/eventfd.c and others document it
 * by writing it; man 5 proc). Parsers take the whole text. They return 0, or -EBADMSG (not logged).
 */
#ifndef CKPT_PROC_FDINFO_H
#define CKPT_PROC_FDINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fdinfo_eventfd {
	uint64_t count;
	bool semaphore; /* EFD_SEMAPHORE */
	bool mode_known; /* told since Linux 6.6 */
};
int fdinfo_parse_eventfd(const char *text, struct fdinfo_eventfd *e);

struct fdinfo_timerfd {
	int clock;
	uint64_t ticks; /* expirations that nobody has read */
	unsigned int flags; /* TFD_TIMER_* of timerfd_settime(2) */
	uint64_t value_sec, value_nsec; /* what is left; 0: disarmed */
	uint64_t interval_sec, interval_nsec;
};
int fdinfo_parse_timerfd(const char *text, struct fdinfo_timerfd *t);

int fdinfo_parse_signalfd(const char *text, uint64_t *mask);

/* The process, as we see it: -1 when it was reaped, 0 when it is in a namespace that we do not see. */
int fdinfo_parse_pidfd(const char *text, int *pid);

struct fdinfo_lock {
	unsigned int kind; /* LOCK_KIND_* of image_consts.h; 0: an unknown one */
	unsigned int type; /* F_RDLCK, F_WRLCK, F_UNLCK; of a lease LOCK_BREAKING, too */
	int pid; /* who set it; -1: the kernel does not know */
	uint64_t start, len; /* len 0: to the end */
};
/* text: the line from "lock:" on. */
int fdinfo_parse_lock(const char *text, struct fdinfo_lock *lock);

/* What an inotify descriptor watches: inotify(7). */
struct fdinfo_inotify {
	int wd;
	uint64_t ino;
	uint32_t dev; /* as the kernel counts: major << 20 | minor */
	uint32_t mask, ignored_mask;
	unsigned int handle_bytes; /* 0: the file system has no handles */
	int handle_type;
	uint8_t handle[128];
};
/* *list is the caller's to free. */
int fdinfo_parse_inotify(const char *text, struct fdinfo_inotify **list, size_t *n);

/* A fanotify(7) group with its marks. */
enum fanotify_type { FANOTIFY_INODE, FANOTIFY_MOUNT, FANOTIFY_FILESYSTEM, FANOTIFY_OTHER };
struct fdinfo_fanotify {
	uint32_t flags, event_flags; /* as fanotify_init(2) took them */
	size_t n;
	struct fanotify_mark_info {
		enum fanotify_type type;
		uint32_t mflags; /* FAN_MARK_* that stay */
		uint32_t mount; /* number of the mount */
		struct fdinfo_inotify file; /* masks of all; of an inode, which; of a file system, its device */
	} * marks; /* owned by the caller */
};
int fdinfo_parse_fanotify(const char *text, struct fdinfo_fanotify *f);

/* A BPF map (man 2 bpf); its name is told by bpf(2) only. */
struct fdinfo_bpfmap {
	uint32_t type, key_size, value_size, max_entries, flags, id;
	uint64_t extra, memlock;
	uint32_t frozen;
};
int fdinfo_parse_bpfmap(const char *text, struct fdinfo_bpfmap *m);

/* A ring of io_uring(7), as fdinfo shows it when nobody is at work on it. */
struct fdinfo_uring {
	uint32_t sq_mask, sq_head, sq_tail, cached_sq_head;
	uint32_t cq_mask, cq_head, cq_tail, cached_cq_tail;
	int sq_thread; /* of IORING_SETUP_SQPOLL; -1: none */
	uint32_t n_files; /* size of the table of registered files, and those in it */
	size_t files;
	struct uring_file {
		uint32_t index;
		char *path; /* as the link of a descriptor has it */
	} * file; /* owned by the caller */
	uint32_t n_buffers; /* the same of buffers */
	size_t buffers;
	struct uring_buffer {
		uint32_t index;
		uint64_t addr, len;
	} * buffer; /* the same */
	uint32_t polls, overflows,
		personalities; /* requests that wait for a file; completions without room; identities */
};
/* -EAGAIN: somebody is. */
int fdinfo_parse_uring(const char *text, struct fdinfo_uring *u);
/* Frees what it owns. */
void fdinfo_free_uring(struct fdinfo_uring *u);

/* What an epoll descriptor watches. */
struct fdinfo_watch {
	int fd; /* the number under which it was added */
	uint32_t events;
	uint64_t data, ino, pos;
	uint32_t dev; /* as the kernel counts: major << 20 | minor */
};
/* *list is the caller's to free. */
int fdinfo_parse_epoll(const char *text, struct fdinfo_watch **list, size_t *n);

#endif
