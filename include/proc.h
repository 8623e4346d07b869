/*
 * Reading /proc/PID (man 5 proc). Functions take a descriptor of the directory /proc/PID (proc_open), so that
 * a pid that is reused cannot be mistaken. They return 0 or -errno; -ESRCH when the task is gone. Malformed
 * text is -EBADMSG (logged), other failures are logged unless said otherwise.
 */
#ifndef CKPT_PROC_H
#define CKPT_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Opens /proc/PID. Returns the descriptor, which the caller owns, or -errno (not logged). */
int proc_open(pid_t pid);
/* The whole of a file below dir, with a zero byte behind it; *text is the caller's to free. Not logged. */
int proc_read(int dir, const char *name, char **text, size_t *len);
/* Where a link leads, in buf (PATH_MAX bytes are enough). Not logged. */
int proc_link(int dir, const char *name, char *buf, size_t size);

struct proc_stat {
	char comm[64];
	char state; /* R S D Z T t X I */
	pid_t ppid, pgid, sid;
	int tty; /* device number of the controlling terminal, 0: none */
	pid_t tty_pgrp; /* foreground group of that terminal, -1: none */
	unsigned int flags; /* PF_* */
	uint64_t start_time; /* clock ticks since boot */
	uint64_t start_code, end_code, start_stack, start_data, end_data, start_brk;
	uint64_t arg_start, arg_end, env_start, env_end;
	int exit_code; /* as wait(2) reports it */
	int nice; /* 19 .. -20 */
	int threads; /* that live */
	unsigned int rt_priority, policy;
};
/* name is "stat" or "task/TID/stat". */
int proc_stat(int dir, const char *name, struct proc_stat *st);
/* The same from text that is already there; -EBADMSG (not logged). */
int proc_parse_stat(const char *text, struct proc_stat *st);

struct proc_status {
	char name[32]; /* comm */
	uint32_t uid[4], gid[4]; /* real, effective, saved, file system */
	uint32_t *groups; /* owned: proc_status_free */
	size_t n_groups;
	uint64_t cap_inh, cap_prm, cap_eff, cap_bnd, cap_amb;
	uint64_t pending, shared_pending, caught; /* SigPnd, ShdPnd, SigCgt */
	uint64_t umask, no_new_privs, tracer;
	bool shadow_stack;
	uint64_t seccomp; /* 0 none, 1 strict, 2 filter */
};
int proc_status(int dir, const char *name, struct proc_status *st);
int proc_parse_status(const char *text, struct proc_status *st);
void proc_status_free(struct proc_status *st);

#define PROC_LIMITS 16
struct proc_limit {
	uint64_t soft, hard; /* ~0: unlimited */
};
/* Limits in the order of RLIMIT_CPU .. RLIMIT_RTTIME. */
int proc_limits(int dir, struct proc_limit limits[PROC_LIMITS]);

/* Numbers that name the entries of a directory below dir ("task", "fd"), ascending; the caller frees *list. */
int proc_list(int dir, const char *name, int **list, size_t *n);
/* Numbers in a file of numbers ("task/TID/children"), as they stand; the caller frees *list. */
int proc_numbers(int dir, const char *name, int **list, size_t *n);

/* A memory area, as /proc/PID/smaps shows it. */
struct vma {
	uint64_t start, end, pgoff; /* bytes */
	uint64_t ino;
	dev_t dev;
	uint8_t prot; /* PROT_* */
	bool shared;
	bool grows_down, io, locked, noreserve, may_write, droppable, hugetlb, uffd, lock_on_fault;
	bool own; /* no fork shares its pages with another process; false: not known */
	bool empty; /* no page is resident or swapped, as smaps says, which does not know of huge pages of hugetlbfs */
	uint32_t protection_key; /* pkeys(7); 0: that of all memory */
	uint32_t madv; /* bit N: madvise advice N is in force */
	uint64_t page_size; /* bytes; 0 when only maps was read */
	char *name; /* behind the inode: path, [heap], ...; "" when anonymous */
};
struct vma_list {
	struct vma *v;
	size_t n;
};
/* Reads smaps (with flags) or maps (without; faster). Free with vma_list_free. -EACCES is not logged. */
int proc_vmas(int dir, bool flags, struct vma_list *list);
/* The same of a task that has at most so many; of others, some of the first ones, and -E2BIG. */
int proc_vmas_few(int dir, bool flags, size_t most, struct vma_list *list);
int proc_parse_vmas(char *text, struct vma_list *list);
/* Adds an empty area without a name, which then may get one; NULL, or -ENOMEM: no memory. */
struct vma *vma_list_add(struct vma_list *list);
int vma_set_name(struct vma *v, const char *name);
void vma_list_free(struct vma_list *list);
/* The area that holds the address, or NULL. */
const struct vma *vma_find(const struct vma_list *list, uint64_t address);

#endif
