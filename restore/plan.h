/*
 * The plan of a restore: all images, read and checked against each other and against this machine, before
 * any process exists. Every task inherits it by fork.
 *
 * Nothing in an image is trusted. What is wrong or not supported is told by plan_refuse(), and reading goes
 * on as far as it can, so that the user sees all reasons at once.
 */
#ifndef CKPT_RESTORE_PLAN_H
#define CKPT_RESTORE_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "arena.h"
#include "id_map.h"
#include "image.h"
#include "image_consts.h"
#include "image_messages.h"
#include "inherited.h"
#include "log.h"
#include "near_dir.h"
#include "page_chain.h"
#include "progress.h"
#include "regs.h"
#include "restorer_abi.h"
#include "vdso.h"

struct opts;
struct plan;
struct plan_fd;
struct plan_file;
struct plan_task;
struct block;
struct terminal;

/* What a descriptor can refer to: restore/fd_NAME.c defines restore_fd_NAME. Hooks may be NULL except open. */
struct restore_fd_kind {
	const char *name;
	FdTypes type;
	/* Reads images of the kind's own (data of pipes, terminals). Called once if the kind occurs. */
	int (*begin)(struct plan *plan);
	/* Checks the entry and sets file->flags and file->fown. */
	int (*read)(struct plan *plan, struct plan_file *file);
	/* Returns a file read before that must be opened together with this one, or NULL. */
	struct plan_file *(*needs)(struct plan *plan, struct plan_file *file);
	/* When all files and descriptors are known: finds other files that this one refers to. */
	int (*resolve)(struct plan *plan, struct plan_file *file);
	/* Makes the owners of these ancestors of its own owner, or equal. Returns whether one was another before. */
	bool (*reach)(struct plan *plan, struct plan_file *file);
	/* In the owner: opens all files that are chained to this one by with_next, setting their fd. */
	int (*open)(struct plan *plan, struct plan_file *file);
	/*
	 * In the owner of file->map[]: opens it with the flags, for mappings or as executable, at a temporary number.
	 * Returns the descriptor or -errno (logged). NULL: it cannot be mapped.
	 */
	int (*map)(struct plan *plan, struct plan_file *file, int flags);
	/* In the plan: the lowest common ancestor of all who use it in any way is known. */
	void (*used_by)(struct plan *plan, struct plan_file *file, struct plan_task *ancestor);
	/* In the owner, when all that it opens is open. */
	int (*connect)(struct plan *plan, struct plan_file *file);
	/* In the owner, when all tasks exist. */
	int (*finish)(struct plan *plan, struct plan_file *file);
	/* In the coordinator, when nothing can fail any more but this. */
	int (*last)(struct plan *plan, struct plan_file *file);
	/* In the coordinator, after a failure, when all tasks are gone: removes what outlives them. */
	void (*undo)(struct plan *plan, struct plan_file *file);
};

/* What a task has: restore/part_NAME.c defines restore_part_NAME. Hooks may be NULL. */
struct restore_part {
	const char *name;
	/* Checks what the images of the task say. */
	int (*read)(struct plan *plan, struct plan_task *task);
	/* In the task, before it moves into the blob, with all its files open. */
	int (*prepare)(struct plan *plan, struct plan_task *task);
	/* In the task: tells the blob what to do. */
	int (*fill)(struct plan *plan, struct plan_task *task, struct block *block);
};

/* A descriptor that areas are mapped from, once it was opened by its owner for itself and its descendants. */
struct plan_mapping {
	struct plan_task *owner; /* the lowest common ancestor of all who need it; NULL: nobody does */
	int fd;
};

/* An open file description (files.img). */
struct plan_file {
	uint32_t id;
	const struct restore_fd_kind *kind; /* NULL: not supported; told when something refers to it */
	const FileEntry *entry;
	const FownEntry *fown;
	uint32_t flags; /* O_*, as F_GETFL told */
	struct plan_task *owner; /* opens it: the lowest common ancestor of all who hold it; NULL: nobody holds it */
	struct plan_file *with; /* the first of those that are opened together; itself when alone */
	struct plan_file *with_next;
	int fd; /* in the owner and its descendants, once opened: its home, or a temporary number */
	int home; /* number that nobody in the tree has another file by, so it is opened there; -1: there is none */
	const struct plan_fd *first; /* the lowest descriptor of the first task that holds it */
	bool stays; /* its descriptor was made without O_CLOEXEC, as its first holder has it (fd_cloexec()) */
	bool checked; /* its path was looked at */
	pid_t dead; /* it belongs to this process in /proc, which was gone at the dump; 0: to none */
	bool late; /* it is opened when all tasks exist (late_files.c) */
	bool *late_users; /* by index: tasks that need it, beside its owner; NULL: none */
	size_t n_late_users;
	int late_pair[2]; /* a socket: its owner sends it through the second end, the others take it from the first */
	int outside; /* index in plan->inherited_fds of what --inherit-fd gives for it; -1: nothing */
	struct plan_ghost_name *ghost; /* it has no name; NULL: it has */
	struct plan_mapping map[2]; /* opened for mappings and as executable: read-only, for writing */
	void *data; /* the kind's own */
};

struct plan_fd {
	int fd;
	bool cloexec;
	struct plan_file *file;
};

/* A number that means a file somewhere. */
struct plan_number {
	int fd;
	struct plan_file *file; /* NULL: refused */
};

/* A page image: in which directory of plan->chain, and N of pages-N.img. */
struct plan_page_file {
	uint32_t depth, id;
};

/* Which pages stand where in which page image. */
struct plan_pages {
	size_t n_files;
	struct plan_page_file *files; /* that restorer_read.file counts */
	size_t n_reads; /* ascending by address */
	struct restorer_read *reads;
};

/* A file of shared memory: an anonymous segment or a memfd. */
struct plan_segment {
	uint64_t id; /* shmid */
	uint64_t size; /* bytes */
	bool sized; /* size is known, and not to be found from what is mapped */
	uint32_t huge; /* MFD_HUGETLB and the size of its pages, or 0 */
	const MemfdInodeEntry *memfd; /* NULL: anonymous */
	const IpcShmEntry *sysv; /* NULL: none of System V */
	bool exists; /* of System V: it is still there */
	bool sealed;
	struct plan_task *owner;
	struct plan_pages pages;
	int fd; /* in the owner and its descendants */
	struct plan_file *first; /* of a memfd: the description that memfd_create() makes becomes this one; or NULL */
	struct plan_segment *next;
};

/* A stretch of contents of a ghost: where it stands in the image and in the file. */
struct plan_chunk {
	uint64_t at, offset, len;
};

/* A name that a ghost had. Two descriptions of it may have had different ones. */
struct plan_ghost_name {
	struct plan_ghost *ghost;
	const char *path; /* in the images */
	int fd; /* O_PATH; in the owner of the ghost and its descendants */
	struct plan_ghost_name *next;
};

/* A file without a name (ghost-file-ID.img). */
struct plan_ghost {
	uint32_t id;
	const GhostFileEntry *entry;
	const char *linked; /* the name that the dump gave it: it is not made but has this; NULL: a ghost */
	uint64_t size;
	size_t n_chunks;
	struct plan_chunk *chunks;
	struct plan_ghost_name *names;
	struct plan_file *tmpfile; /* the description that open(2) with O_TMPFILE makes becomes this one; or NULL */
	int tmpfile_fd; /* that description, once made; else -1 */
	struct plan_task *owner; /* makes it for itself and its descendants; NULL: nobody needs it */
	pid_t *helper; /* shared by all tasks: who removes its names again; 0: nobody (ghost.c) */
	struct plan_ghost *next;
};

struct plan_area {
	const VmaEntry *vma;
	struct plan_file *file; /* of file mappings */
	struct plan_segment *segment; /* of shared anonymous memory */
	bool writes; /* maps file->map[1] */
	bool has_pages;
	bool away; /* some of them are in no image: they come late in any case */
	bool forked; /* children have it too: loaded before they are forked (cow.c) */
	uint64_t low; /* from here on it is mapped for them: below its start if their stack has grown more */
	/* Written by the task itself: */
	uint64_t at; /* where low is mapped already; 0: the blob maps it */
	uint64_t inherited; /* up to here, its pages were those of its forker */
};

/* Registers, ready for ptrace: of use to the coordinator only, so not inherited by the tasks (MADV_DONTFORK). */
struct plan_regs {
	struct user_regs_struct general;
	struct user_desc tls[TLS_ENTRIES]; /* as PTRACE_SET_THREAD_AREA takes them */
	size_t xstate_len;
	uint8_t xstate[];
};

struct plan_thread {
	pid_t tid;
	CoreEntry *core; /* its thread_info is gone once part_regs has read it */
	bool kept; /* the core belongs to the plan */
	struct plan_regs *regs;
	uint64_t clear_child_tid;
	size_t n_filters;
	const uint32_t *filters; /* of seccomp.img, in the order in which they are put on */
};

struct plan_task {
	uint32_t index; /* in plan->tasks and restorer_shared.slots */
	pid_t pid, pgid, sid; /* as they shall become */
	uint32_t state; /* TASK_* */
	struct plan_task *parent, *children, *last_child, *next; /* next: of the same parent */
	unsigned int depth;
	bool main_exited; /* while other threads run: it does once more, when they exist; its registers mean nothing */
	int stop_signal; /* by which it ends stopped, or 0 */
	bool compat; /* it is a 32-bit program */
	bool early; /* forked before its parent calls setsid() */
	struct plan_task *born_by; /* who leads the session and forks it, a sibling if not adopted; NULL: its parent */
	bool adopted; /* a helper of born_by, which is further down, forks it and ends: then its parent adopts it */
	bool adopts; /* it has such children */
	pid_t orphan_session; /* the leader is gone of the session that it is born in, which a helper makes; or 0 */
	struct terminal *terminal; /* of the session that it leads; NULL: not one of the tree (tty.h) */
	bool makes_group; /* the leader of its group is gone: it forks one for a moment */
	uint32_t files_id;
	/*
	 * The first task with the same table of descriptors (CLONE_FILES), with the same directories and umask
	 * (CLONE_FS); itself when alone. How many have that, if it is the first.
	 */
	struct plan_task *files_of, *fs_of;
	uint32_t files_users, fs_users;
	uint64_t born_with; /* of these two flags: what it has in common with its forker when it is born */
	uint64_t parts_with; /* what it leaves to others when its children are forked */

	size_t n_threads; /* the leader is threads[0] */
	struct plan_thread *threads;
	const TaskCoreEntry *core; /* threads[0].core->tc */
	const TaskKobjIdsEntry *ids;
	const FsEntry *fs;
	const MmEntry *mm;

	size_t n_fds;
	struct plan_fd *fds;
	size_t n_areas;
	struct plan_area *areas; /* ascending; only those that are mapped one by one */
	size_t n_guards;
	struct restorer_range *guards;
	struct plan_pages pages;
	uint64_t space_end; /* nothing of it lies at or above */
	struct plan_vdso vdso;
	struct plan_file *exe, *cwd, *root;
	bool confined; /* some thread is under seccomp */
};

struct plan {
	const struct opts *opts;
	struct image_dir images;
	struct image_chain chain; /* that directory and its parents */
	struct arena arena;
	struct arena fixed; /* what is not written any more once there are tasks: they share it */
	struct arena common; /* what one task writes for all to see */
	bool offline; /* ckpt verify: nothing shall be restored */
	unsigned int problems;
	void (*say)(void *arg, const char *reason); /* gets them instead of the log; NULL: nobody */
	void *say_arg;

	const InventoryEntry *inventory;
	const SeccompEntry *seccomp; /* NULL: no task needs it, or not read yet */
	size_t n_tasks; /* parents before children; [0] is the root */
	struct plan_task *tasks;
	struct plan_task **by_pid; /* the same, ascending by pid */
	size_t n_threads; /* of all tasks that live */
	size_t n_tids; /* of all tasks */
	uint8_t *regs; /* memory of plan_regs */
	size_t regs_size, regs_used;
	size_t n_files;
	struct plan_file *files; /* ascending by id */
	size_t n_segments;
	struct plan_segment *segments;
	void *segment_tree; /* tsearch(3) by id */
	struct plan_ghost *ghosts;
	size_t n_ghost_names;
	uint64_t huge_pages; /* sizes of huge pages that are used, one bit each */
	const IpcShmEntry **sysv;
	size_t n_sysv;
	const FileLockEntry **locks;
	size_t n_locks;
	pid_t sysv_helper; /* in the coordinator: who made the segments, 0: nobody (sysv_shm.c) */
	int sysv_sock;
	size_t n_memfds;
	const MemfdInodeEntry **memfds;
	struct id_map pipes_by_id, fifos_by_id, sockets_by_ino;
	struct near_dir near; /* of a task that opens files */
	struct path_looks *path_looks; /* what paths lead to; NULL: nobody asks yet */
	struct sk_fresh *fresh_unix; /* of each task that makes sockets; NULL: not asked yet */
	void *pipes, *fifos, *ttys, *queues, *maps; /* of the kinds */
	struct vdso_layout *vdso[2]; /* of this kernel: for 64-bit, for 32-bit programs */
	struct privileges *privileges; /* ours */
	struct inherited inherited; /* read before the first fork */
	pid_t old_sid, old_pgid; /* with a shell job: those of the root that ours replace */
	bool shell_job;
	bool any_adopted;
	bool any_sharing; /* tasks have tables in common */
	pid_t lowest, highest; /* of all numbers of tasks, threads, groups and sessions */
	bool in_step; /* tasks need each other to be born before they load memory: stages TREE and GROUPS take place */

	struct plan_number *reserved; /* numbers that files have for a moment, beside those of the tasks */
	size_t n_reserved;
	int *homes; /* of files, ascending */
	size_t n_homes;
	size_t n_extra_fds; /* that kinds need beside one for each file */
	int fd_low, fd_high; /* numbers that no task uses: for descriptors that exist only meanwhile */
	int *inherited_fds; /* our own that tasks get: of --inherit-fd */
	size_t n_inherited;
	int tty_fd; /* our terminal, for a shell job; -1 */

	struct progress progress;
	uint64_t own_reads; /* bytes that we have read before the tasks begin */
	struct restorer_shared *shared; /* once processes exist */
	size_t shared_size;
	pid_t coordinator;
	int lazy_sock; /* to the daemon that serves memory that comes late; -1: all is loaded */
	struct restore_track *track; /* who tracks what the tree writes; NULL: nobody */
	int *uffds; /* for that, of tasks by index; -1: it has none */
	int guard_fd; /* with restore_sibling: tells the root that the coordinator died; -1 */
};

#define _cleanup_plan_ __attribute__((cleanup(plan_close)))

/* Reads and checks everything. Returns 0 or -errno (all reasons logged). Call plan_close() in any case. */
int plan_open(struct plan *plan, const struct opts *opts);
void plan_close(struct plan *plan);

/* Says why the images cannot be restored, and what to do about it. The plan fails when all is read. */
#define plan_refuse(plan, ...) plan_refuse_at(plan, LOG_WHERE, __VA_ARGS__)
/* The same for what is wrong with this machine, or how ckpt was called: ckpt verify does not care. */
#define plan_refuse_here(plan, ...)                                                                                    \
	do {                                                                                                           \
		if (!(plan)->offline)                                                                                  \
			plan_refuse_at(plan, LOG_WHERE, __VA_ARGS__);                                                  \
	} while (0)
void plan_refuse_at(struct plan *plan, const char *where, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Zeroed memory that lives as long as the plan. NULL: out of memory. */
void *plan_alloc(struct plan *plan, size_t size);
/* The same for what only the coordinator writes, and only until it forks: it costs nothing to fork. */
void *plan_alloc_fixed(struct plan *plan, size_t size);
/* The same for what tasks tell each other. */
void *plan_alloc_common(struct plan *plan, size_t size);
/*
 * Replaces a message that was unpacked, a ProtobufCMessage **, by a copy that the plan owns. Returns 0 or -ENOMEM
 * (then it is NULL).
 */
int plan_keep(struct plan *plan, void *message); /* plan_keep.c */
/* Reads an image of one entry into the plan. Returns 0, -ENOENT (not logged) or another -errno (logged). */
int plan_read_one(struct plan *plan, enum image_kind kind, unsigned long id, const void *message);
/*
 * Reads all entries of an image into a new array of pointers. Returns 0, -ENOENT (not logged) or another
 * -errno (logged).
 */
int plan_read_all(struct plan *plan, enum image_kind kind, unsigned long id, void *list, size_t *n);

/* Takes an entry, which the plan owns, and its bytes from the reader. Returns 0 or -errno (logged). */
typedef int plan_add(struct plan *plan, struct image_reader *r, const void *entry, void *element);
/*
 * Reads an image whose entries have bytes behind them into a new array of elements of size bytes, each filled by add().
 * No image is as good as an empty one. Returns 0 or -errno (logged).
 */
int plan_read_with_bytes(struct plan *plan, enum image_kind kind, size_t size, plan_add *add, void *list, size_t *n);

/* Sorts what is mostly in order already. */
void plan_sort(void *array, size_t n, size_t size, int (*compare)(const void *, const void *));
struct plan_task *plan_task_by_pid(const struct plan *plan, pid_t pid);
struct plan_file *plan_file_by_id(const struct plan *plan, uint32_t id);
/* Lives the task after the restore, so that it has memory and files? */
bool plan_lives(const struct plan_task *task);
struct plan_task *plan_common_ancestor(struct plan_task *a, struct plan_task *b);
/* Of which task it is born as a fork; NULL: of the coordinator. */
struct plan_task *plan_forker(const struct plan_task *task);
/* Whether pages of the two areas, one a fork's, can be shared where they overlap. */
bool plan_may_share(const struct plan_area *a, const struct plan_area *b);

/* Steps of plan_open, in this order. Return 0 or -errno (logged); what the image merely gets wrong is refused. */
int plan_check_cpu(struct plan *plan); /* plan_cpu.c */
int plan_read_tree(struct plan *plan); /* plan_tree.c */
void plan_add_child(struct plan_task *parent, struct plan_task *task);
int plan_read_task(struct plan *plan, struct plan_task *task); /* plan_task.c */
int plan_order_sessions(struct plan *plan); /* plan_sessions.c; sets plan->in_step */
/* Tables that tasks share (plan_sharing.c): whose a task has; then how they are born with them. */
void plan_find_sharers(struct plan *plan, struct plan_task *task);
int plan_order_sharing(struct plan *plan);
int plan_read_files(struct plan *plan); /* plan_files.c */
/* remap-fpath.img and the ghosts that it names (plan_ghosts.c). */
int plan_read_remaps(struct plan *plan);
int plan_read_fds(struct plan *plan, struct plan_task *task);
int plan_share_files(struct plan *plan);
int plan_choose_numbers(struct plan *plan); /* plan_homes.c */
/* Whether any file has to be finished when all tasks exist. */
bool plan_files_wait(const struct plan *plan);
int plan_read_memory(struct plan *plan, struct plan_task *task); /* plan_memory.c */
int plan_read_segments(struct plan *plan);
/* The segment with the number, made when there is none yet; NULL without memory. */
struct plan_segment *plan_segment(struct plan *plan, uint64_t id);
/* Makes file one that the task and who else needs it map, for writing too or not, or execute. */
void plan_need_mapping(struct plan_file *file, struct plan_task *task, bool writes);
/* Whether pages of the area may be loaded when the task runs. */
bool plan_can_come_late(const struct plan_area *area);
void plan_share_memory(struct plan *plan); /* plan_cow.c */
/* Whether the area belongs to the vDSO of the task, which then has it (plan_vdso.c). */
bool plan_vdso_takes(struct plan_task *task, const VmaEntry *v);
/* Reads pages of the vDSO's code. */
int plan_vdso_read(struct plan *plan, struct plan_task *task, const struct pagemap_piece *piece);
/* Decides what becomes of it, when all areas and pages were read. */
int plan_vdso_place(struct plan *plan, struct plan_task *task);
/* Looks at pages. Sets *skip when they shall not be read. Returns 0 or -errno (logged). */
typedef int page_check(struct plan *plan, void *arg, const struct pagemap_piece *piece, bool *skip);
/* Returns 0, -ENOENT (not logged) or another -errno (logged). */
int plan_read_pages(struct plan *plan, enum image_kind kind, uint64_t id, struct plan_pages *pages, page_check *check,
		    void *arg); /* plan_pages.c */
int plan_check_pids(struct plan *plan); /* plan_pids.c */
/* Huge pages (plan_huge.c): what is wrong with an area, or NULL; whether there are enough for the tree. */
const char *plan_check_huge_area(struct plan *plan, const VmaEntry *v);
void plan_check_huge_pages(struct plan *plan);
/* Bytes of a page of those that MAP_HUGETLB or MFD_HUGETLB and the size in the flags ask for; 0: none such. */
uint64_t plan_huge_size(uint32_t flags);

/* A path of a REG file that is mapped, executed or a directory that is entered. Told once for each file. */
void plan_check_file(struct plan *plan, struct plan_file *file);
/* Opens a REG file with the flags, at a temporary number. Returns the descriptor or -errno (logged). */
int reg_open(struct plan *plan, struct plan_file *file, int flags);
/* Makes a directory of a process that is gone the working directory. Returns 0 or -errno (not logged). */
int reg_enter_dead(struct plan *plan, const struct plan_file *file);
/*
 * Gives the file the descriptor that a system call made for it, or not (-1, errno), and sets the flags that
 * F_SETFL knows. Returns 0 or -errno (logged).
 */
int fd_take(struct plan *plan, struct plan_file *file, int fd);
/* The same of one that was made with these flags (of O_NONBLOCK, O_APPEND, O_DIRECT and O_NOATIME). */
int fd_take_made(struct plan *plan, struct plan_file *file, int fd, int made);
/*
 * In the coordinator: the path in /proc under which a task of the tree that has the file holds or maps it. Returns
 * whether there is one.
 */
bool plan_find_holder(const struct plan *plan, const struct plan_file *file, char *path, size_t size);
/* From now on the two files, and all that are opened together with them, are opened together. */
void plan_join_files(struct plan_file *a, struct plan_file *b);
/* Keeps a number free for a file that has it for a moment. Returns 0 or -ENOMEM. */
int plan_reserve_fd(struct plan *plan, int fd, struct plan_file *file);
/* Moves a descriptor to a temporary number, close on exec. Returns it or -errno (logged). Closes fd in any case. */
int fd_to_temporary(struct plan *plan, int fd);
/* The same, or to the home of the file if it is free. */
int fd_place(struct plan *plan, struct plan_file *file, int fd);
/*
 * What a descriptor of a file is to be made with, beside its flags, so that nothing is left to be set when it gets its
 * home at once: O_CLOEXEC or 0. Nothing is executed while it is not yet in its final place. other: made by the same
 * call; NULL: none.
 */
int fd_cloexec(struct plan_file *file, struct plan_file *other);

extern const struct restore_part *const restore_parts[];
extern const struct restore_fd_kind *const restore_fd_kinds[];
extern const struct restore_fd_kind restore_fd_reg;

#endif
