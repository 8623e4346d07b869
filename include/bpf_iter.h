/*
 * What the kernel keeps of tasks, read by a BPF iterator (Documentation/bpf/bpf_iterators.rst, Linux 6.1 for one of a
 * single process): many values of many threads, areas or descriptors in one read, where /proc needs several calls for
 * each, and formats text. Where values lie is taken from the kernel's own description of its types (BTF), which costs
 * a millisecond or two to load, and the program another one: worth it for a hundred things. It is never needed: whoever
 * asks has another way.
 */
#ifndef CKPT_BPF_ITER_H
#define CKPT_BPF_ITER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The kernel's types. Any threads may use them. */
struct bpf_types;

/* NULL: the kernel has none, or may not be asked (no CAP_BPF and CAP_PERFMON); not logged. */
struct bpf_types *bpf_types_load(void);
void bpf_types_free(struct bpf_types *types); /* NULL: nothing */

/* At most so many values in a record. */
#define BPF_ITER_FIELDS 48

struct bpf_iter {
	int prog; /* the loaded program; -1: none */
	size_t n; /* values of a record, of eight bytes */
	int name; /* which of them is the length of a name; -1: none */
};

/*
 * A path that stands for the name of a regular file, as links in /proc/PID/fd have it ("task_file" only). The value is
 * its length in bytes with the zero at its end, or 0 where it has none that fits into PATH_MAX bytes; the name itself
 * comes behind all values, filled up to eight bytes. One read at a time of such a program.
 */
#define BPF_ITER_NAME "file.f_path as a name"

/*
 * Loads a program that makes a record of the values. iterator: "task" (all threads of a process), "task_vma" (its
 * areas), "task_file" (its descriptors). paths: ended by NULL; each begins with one of what such an iterator shows
 * ("task", "vma", "file", "fd") and goes on through members and pointers: "task.real_cred.uid". A value has at most
 * eight bytes and is filled up with zeros; of an array it is the first element, or all of it where that is no longer
 * than eight bytes; a null pointer on the way makes it zero. "task.comm@8" is the eight bytes that begin with byte 8 of
 * the member, whatever its type; "?task.x" is zero in kernels that have no such member; with "=task.x" there are
 * records only where it equals the value before; "file.private_data(socket).x" takes the pointer for one to that type;
 * "socket.x" is of the socket of a file; "x[fd]" is the bit of the descriptor in what x points to. The last path may be
 * a member of so many bytes that comes behind the values: "task.sighand.action#2048".
 * Returns 0, -ENOENT where this kernel has no such member, or -errno (not logged). Ended by bpf_iter_close().
 */
int bpf_iter_load(struct bpf_iter *it, const struct bpf_types *types, const char *iterator, const char *const *paths);
void bpf_iter_close(struct bpf_iter *it);

/*
 * Calls take() for each record: it->n values. pid: a process, as we see it; 0: all of them. A task that is not there
 * has no records. What take() returns other than 0 ends it and is returned. Returns 0 or -errno (not logged).
 */
int bpf_iter_read(const struct bpf_iter *it, pid_t pid, int (*take)(void *arg, const uint64_t *values), void *arg);
/* The same of a single thread. */
int bpf_iter_read_thread(const struct bpf_iter *it, pid_t tid, int (*take)(void *arg, const uint64_t *values),
			 void *arg);

#endif
