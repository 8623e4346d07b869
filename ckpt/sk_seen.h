/*
 * Sockets as BPF iterators see them (fd_seen.h). What getsockopt(2) tells of one costs more than twenty calls, and most
 * sockets of a program have the same options. All that these are made of in the kernel is compared: what one socket was
 * asked then holds for others.
 */
#ifndef CKPT_SK_SEEN_H
#define CKPT_SK_SEEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bpf_iter;
struct bpf_types;
struct fd_seen_list;

#define SK_OPTION_VALUES 18

/* Sockets with the same options. */
struct sk_alike {
	struct sk_alike *next;
	uint64_t values[SK_OPTION_VALUES];
	/* What was learned of the first of them; of its kind, which keeps it as long as its file. NULL: nothing yet. */
	const void *first;
};

struct sk_seen {
	int number;
	uint16_t family, type;
	bool at_rest; /* a UNIX socket without a name or filter, connected both ways, with nothing underway */
	uint32_t peer; /* then: the inode of its other end */
	uint64_t values[SK_OPTION_VALUES];
	struct sk_alike *alike; /* then */
};

/* Loads the program. Returns 0 or -errno (not logged). */
int sk_seen_load(struct bpf_iter *it, const struct bpf_types *types);
/* Tries with sockets of our own whether each option shows in the values of this kernel. */
bool sk_seen_check(const struct bpf_iter *it);
/* Reads those of a thread. Returns 0 or -errno (not logged). */
int sk_seen_read(const struct bpf_iter *it, pid_t tid, struct fd_seen_list *seen);
/* Finds those with the same options; *known is NULL for the first one. Returns NULL without memory. */
struct sk_alike *sk_alike_find(struct sk_alike **all, const struct sk_seen *socket, bool *known);
void sk_alike_free(struct sk_alike **all);

#endif
