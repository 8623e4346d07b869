/* The files that inotify and fanotify watch: the kernel tells only their inodes and handles. */
#ifndef CKPT_WATCHED_FILE_H
#define CKPT_WATCHED_FILE_H

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct dump;
struct dump_file;
struct fdinfo_inotify;
struct FhEntry;

/* What is known of one. */
struct watched_file {
	char *path; /* owned; NULL: not found, or deleted */
	bool ghost; /* the tree holds it, and it has no name any more */
};

/*
 * Finds it. Says with blocker_add when its path is not known: kind and where ("fd 3, watch 1") tell the user what.
 * Returns 0 or -errno (logged).
 */
int watched_file_judge(struct dump *d, const struct dump_file *f, const struct fdinfo_inotify *info,
		       struct watched_file *w, const char *kind, const char *where);
/* Its handle in images; NULL: not enough memory. */
struct FhEntry *watched_file_handle(const struct fdinfo_inotify *info, const struct watched_file *w,
				    struct arena *arena);
/* Warns of events in the queue behind fd, which a restore does not bring back: they cannot be read without taking them.
 */
void watched_file_warn(const struct dump_file *f, int fd, const char *kind);

#endif
