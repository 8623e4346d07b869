/* A first look at the descriptors of a task (fd_look.c). */
#ifndef CKPT_FD_LOOK_H
#define CKPT_FD_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fown.pb-c.h"

struct dump;
struct dump_file;
struct dump_task;
struct looker;

/* What one descriptor is, before anybody asks who shares it. */
struct fd_look {
	int number, fd; /* in the task; our duplicate */
	struct stat st;
	struct dump_file *known; /* it leads to this one, and there is no duplicate; else NULL */
	const struct fd_seen
		*seen; /* it is plain, and this is all (fd_seen.h): then there is no duplicate; else NULL */
	uint64_t address; /* of its description in the kernel; 0: not known */
	struct sk_alike *alike; /* of a socket: those with the same options, NULL: not known */
	int eventfd_id; /* of an eventfd that is seen; 0: none */
	char *text; /* of /proc/PID/fdinfo/N; owned. NULL: there is nothing in it but what follows */
	uint64_t pos;
	unsigned int flags; /* O_*, without O_CLOEXEC */
	bool cloexec; /* false without text: then the task is asked */
	const char *link; /* NULL: not read yet */
	char *own_link; /* owned */
	char short_link[32]; /* of a plain pipe or socket */
	bool owner_known;
	FownEntry fown;
	int err; /* -errno (logged) */
};

/* What it takes to read links of our own descriptors. */
struct fd_links {
	int own_fds; /* /proc/self/fd */
	dev_t pipes; /* the file system of pipes without names; 0: not known yet */
};

/* The file behind the description at an address in the kernel (files.c); NULL: not known. */
struct dump_file *files_by_address(const struct dump *d, uint64_t address);

/* Begins to look at the descriptors of a stopped task. Returns NULL without memory or /proc (logged). */
struct looker *looker_begin(struct dump_task *t);
/* How many there are. */
size_t looker_count(const struct looker *l);
/* The next one, in the order of the numbers, or NULL at the end. It is there until the next call. */
struct fd_look *looker_next(struct looker *l);
void looker_end(struct looker *l);

/* Reads fdinfo of a number below the directory of a process. Returns 0 or -errno (not logged). */
int fd_look_at_text(int proc, struct fd_look *k);
/* Asks for link and owner, where they are not known. Returns 0 or -errno (not logged). */
int fd_look_closer(struct fd_links *links, struct fd_look *k);
/* The owner of a descriptor of ours (F_SETOWN, F_SETSIG). Returns 0 or -errno (not logged). */
int fd_look_at_owner(int fd, FownEntry *fown);

#endif
