/*
 * What a restore and `ckpt lazy-pages` say to each other over the socket lazy-pages.socket (SOCK_SEQPACKET) in the work
 * directory.
 *
 * For each task, parents before children, the restore sends a struct lazy_task with descriptors: a pidfd, and, if
 * memory of it comes late, its userfaultfd and a memfd with struct lazy_range. The daemon answers with a byte when it
 * serves the task's faults and keeps all this where its own death does not close it; only then does the task go on. At
 * the end comes a struct lazy_task with LAZY_DONE and no descriptor: the tree runs. A restore that is gone without it
 * has failed.
 */
#ifndef CKPT_LAZY_PROTOCOL_H
#define CKPT_LAZY_PROTOCOL_H

#include <stdint.h>

#define LAZY_SOCKET "lazy-pages.socket"
#define LAZY_VERSION 1
#define LAZY_RANGES_MAX (1u << 24)

enum { LAZY_FD_PID, LAZY_FD_USERFAULT, LAZY_FD_RANGES, LAZY_FDS };
enum { LAZY_TASK, LAZY_DONE };

struct lazy_task {
	uint32_t version, what; /* LAZY_TASK or LAZY_DONE */
	int32_t pid; /* in the images */
	uint32_t n_ranges; /* 0: all its memory is there, and there is a pidfd only */
};

/* Pages that follow each other, ascending and apart from each other. */
struct lazy_range {
	uint64_t start, len; /* address, bytes */
	uint32_t depth, pages_id; /* the page image: in which directory of the chain of parents, which one */
	uint64_t offset; /* in it */
	uint32_t away; /* they are in no image: a page server has them */
	uint32_t unused;
};

#endif
