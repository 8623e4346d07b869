/*
 * A dump in progress: the tree as it was found, and the contracts of the kinds and parts that describe it.
 *
 * Order of a dump (ckpt/README.md): freeze, collect from outside, collect from inside, judge, write, release.
 */
#ifndef CKPT_DUMP_H
#define CKPT_DUMP_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "arena.h"
#include "core.pb-c.h"
#include "cpuinfo.h"
#include "dump_stats.h"
#include "fdinfo.pb-c.h"
#include "image.h"
#include "image_consts.h"
#include "inject.h"
#include "proc.h"
#include "progress.h"
#include "regs.h"
#include "remote.h"
#include "undo.h"

struct opts;
struct fd_programs;
struct fd_seen;
struct known_dirs;
struct sk_alike;

/* Pending signals of one queue. */
struct signal_queue {
	siginfo_t *info; /* owned */
	size_t n;
};

/* A context of asynchronous I/O. */
struct aio_context {
	uint64_t id, len; /* address of its ring, and bytes */
	uint32_t requests; /* that io_setup(2) needs to be asked for to get a ring like that */
	bool alive;
};

/* A timer of timer_create(2). */
struct posix_timer {
	int32_t id, clock, signal, notify; /* as in struct sigevent */
	uint64_t value; /* sival_ptr */
	pid_t target; /* SIGEV_THREAD_ID: the thread that is told; else the task */
	struct parasite_timer left;
};

struct dump_thread {
	struct dump_task *task;
	pid_t tid;
	struct remote remote; /* registers, mask, rseq */
	struct user_desc tls[TLS_ENTRIES];
	bool answering; /* at work on its queries */
	bool told; /* the kernel told of it what else it would be asked itself, and its status (thread_look.c) */
	unsigned int vdso_tries; /* how often it was let out of the vDSO */
	struct proc_status status; /* credentials */
	struct signal_queue pending;
	uint64_t clear_child_tid, robust_list, robust_len;
	stack_t altstack;
	int pdeath_signal;
	bool securebits_known; /* told by the kernel, not by the parasite */
	uint32_t securebits;
	int seccomp_error; /* errno: its filters cannot be suspended or read */
	uint32_t seccomp_filter; /* the last one that it put on, in dump.filters; the others are its predecessors */
	bool dispatched; /* its system calls come back as signals: PR_SET_SYSCALL_USER_DISPATCH */
	int nice;
	unsigned int policy, priority;
	uint64_t sched_flags, runtime, deadline, period; /* of SCHED_DEADLINE, ns */
	uint8_t *cpus; /* affinity, a mask; NULL: any CPU. Owned */
	size_t cpus_len; /* bytes */
	int io_priority; /* -1: not known */
	uint64_t timer_slack; /* ns; 0: not known. The main thread's is told inside */
};

struct dump_file;
struct seccomp_filters;

struct dump_fd {
	int fd; /* number in the task */
	bool cloexec;
	bool unread; /* its fdinfo: then locks are not known yet */
	struct dump_file *file;
};

/* A stretch of pages that goes into an image. */
struct run {
	uint64_t start, end;
	bool lazy; /* anonymous: may be restored later */
	bool copied; /* the image has it already */
	bool parent; /* an earlier set of images has it: this one tells that only */
	bool own; /* no other process shares it */
};

struct run_list {
	struct run *r; /* owned */
	size_t n;
};

#define NAMESPACES 8
#define NAMESPACE_LINK 32 /* bytes of "time:[4026531834]" and such */

struct dump_task {
	struct dump *dump;
	pid_t pid;
	/*
	 * Whom the kernel tells about memory and descriptors: pid, or another thread when the main thread has exited
	 * while others run. Then threads[0] is that one, and the main thread is in no list.
	 */
	pid_t member;
	bool main_exited;
	struct proc_stat main_stat; /* then: of the main thread */
	struct dump_task *parent; /* NULL: the root */
	bool complete; /* stopped, and all its threads and children are known */
	bool closed; /* its threads are known; its children are about to be read */
	bool untouchable; /* it would be harmed if its threads worked for us; there is a blocker that says why */
	uint32_t state; /* TASK_* */
	int stop_signal; /* of a stopped task */
	int proc; /* descriptor of /proc/PID */
	int pidfd;
	struct proc_stat stat;
	struct dump_thread *threads; /* [0] is the leader, if it lives; none for a zombie */
	size_t n_threads;
	struct vma_list vmas;
	bool areas_unread; /* they are very many */
	atomic_bool areas_known; /* as they are now, with their flags */
	struct area_told *told_areas; /* by the kernel (area_told.c), until all areas are read; owned */
	size_t n_told_areas;
	bool unconfirmed; /* their flags were read before it stood still (early_areas.h) */
	struct run_list guards; /* MADV_GUARD_INSTALL; found with the pages */
	bool guards_known;
	struct aio_context *rings; /* owned */
	size_t n_rings;
	struct dump_file **vma_files; /* the file behind vmas.v[i], or NULL */
	struct gadgets gadgets;
	struct remote_slots slots; /* of threads whose way home cannot lie on their own stack */
	struct parasite parasite; /* none, when another one's tells what this one's would; mem is there nevertheless */
	struct parasite_task inside;
	struct task_told *told; /* by the kernel (task_look.c); NULL: nothing. Owned */
	struct dump_task *asked_of; /* whose parasite tells: its own, or that of another one that is like it */
	struct proc_limit limits[PROC_LIMITS];
	long coredump_filter, loginuid, oom_score_adj; /* of t->asked_of: it has the same */
	struct signal_queue shared_pending;
	struct posix_timer *timers; /* ascending by id; owned */
	size_t n_timers;
	struct dump_fd *fds;
	size_t n_fds;
	struct fd_told *told_fds; /* by the kernel (fd_told.c), until all are looked at; owned */
	size_t n_told_fds;
	bool rings_known, has_rings; /* of io_uring: see io_uring_has() */
	bool asked_cloexec; /* they are so many that FD_CLOEXEC is told inside */
	struct dump_file *exe, *cwd, *root;
	uint32_t ids; /* number of its own vm, files, fs and sighand objects */
	/*
	 * The first task that has the same table of descriptors (CLONE_FILES), the same directories (CLONE_FS), the
	 * same memory (CLONE_VM).
	 */
	struct dump_task *files_of, *fs_of, *vm_of;
	uint64_t files_at, fs_at, mm_at; /* what tells whether two share it; 0: not known */
	bool namespaces_known;
	char namespaces[NAMESPACES][NAMESPACE_LINK]; /* "": the kernel does not have it */
};

/* What stands in the way of a dump. All strings are owned. */
struct blocker {
	pid_t pid;
	char *where; /* "fd 3", "7f00-7f10", "thread 12" */
	char *kind; /* "inotify" */
	char *reason;
	char *remedy;
};

struct dump {
	const struct opts *opts;
	struct image_dir images;
	struct dump_task **tasks; /* parents before children; [0] is the root */
	size_t n_tasks;
	struct dump_thread **threads; /* of all tasks, once the tree stands */
	size_t n_threads;
	struct blocker *blockers;
	size_t n_blockers;
	bool namespaces_known;
	char own_namespaces[NAMESPACES][NAMESPACE_LINK]; /* of ckpt */
	struct files *files;
	struct shmem *shmem;
	struct sk_queue *queues; /* of sockets; owned */
	struct sk_diag *sk_diag; /* NULL: no socket was asked for yet; owned */
	struct seccomp_filters *filters; /* NULL: no thread has any */
	struct ghosts *ghosts;
	struct sysv *sysv;
	struct chain *chain; /* NULL: not incremental */
	char id[37]; /* of this run, a UUID */
	struct precopy *precopy; /* NULL: nothing was copied live */
	struct late_pages *late_pages; /* NULL: all pages are copied while the tree stands still */
	bool committed; /* the images have their final names */
	bool killed; /* the tree is no more */
	bool linked; /* the link to the parent has its final place */
	struct locks *locks; /* NULL: there are none */
	struct lock_list *lock_list; /* NULL: locks are found in fdinfo only */
	unsigned int ring_naps; /* while requests of rings were on the way */
	uint32_t next_pages_id; /* the next free N of pages-N.img, from 1 */
	struct gadget_cache gadget_cache;
	struct undo undo;
	struct dump_stats stats;
	struct progress progress;
	bool much_memory; /* has a task at which smaps looks for longer than a BPF iterator takes to load (areas.h) */
	struct bpf_types *bpf_types; /* NULL: not loaded, or there are none; owned */
	bool bpf_tried, fd_programs_tried;
	bool bpf_loading; /* by a thread of its own: */
	pthread_t bpf_loader;
	struct fd_programs *fd_programs; /* NULL: not loaded; owned, as are these: */
	struct sk_alike *sk_alike;
	struct known_dirs *known_dirs;
	struct areas *areas; /* how their flags are asked for by BPF; NULL: nobody did */
	bool restless; /* tasks end while others are being stopped */
	bool pid_level_known;
	unsigned int pid_level; /* of our PID namespace (kernel_look.h) */
	struct bpf_iter *tree_iter; /* NULL: not needed yet (tree_look.c); owned */
	struct vma_list ahead; /* areas of the root before it stood, without flags; owned */
	bool ahead_cut; /* it has more of them */
	struct cpuinfo cpu; /* asked before the tree stands: that takes long on virtual machines */
	long online_cpus; /* of the machine; 0: not asked yet */
	uint64_t freeze_start; /* CLOCK_MONOTONIC, us */
};

/* A descriptor that is being looked at, with our own duplicate of it. */
struct fd_info {
	struct dump_task *task; /* who holds it */
	int number; /* in the task; -1: it is not a descriptor (cwd, root, exe, mapping) */
	int fd; /* ours */
	struct stat st;
	const char *link; /* what /proc/PID/fd/N says */
	const char *text; /* of /proc/PID/fdinfo/N; NULL: it is not a descriptor, or a pipe or socket among many */
	const struct fd_seen *seen; /* what is known of it without a duplicate, then fd is -1; else NULL */
	unsigned int flags; /* O_*, without O_CLOEXEC */
	uint64_t pos;
	struct sk_alike *alike; /* of a socket: those for whom it is asked (sk_seen.h); NULL: none */
};

/* One open file description, however many descriptors refer to it. */
struct dump_file {
	uint32_t id;
	const struct dump_fd_kind *kind; /* NULL: nobody knows it; it is a blocker */
	pid_t pid, member; /* a holder, and the number that the kernel takes for it: see struct dump_task */
	int number; /* its descriptor; -1: none */
	char where[96]; /* how a user finds it in the holder: "fd 3", "area 7f00-7f10", "cwd", "in the queue of fd 3" */
	bool in_flight; /* nobody in the tree holds it: it is in a packet, and number is our own descriptor */
	struct stat st;
	int eventfd_id; /* fdinfo: of eventfds; 0: none */
	uint64_t address; /* of its open file description in the kernel; 0: not known */
	char *link; /* belongs to the registry, as the file itself */
	unsigned int flags;
	uint64_t pos;
	FownEntry fown;
	void *data; /* of the kind; freed with free(3) */
	struct dump_file *next_of_kind; /* see files_next_of() */
};

/* A kind of descriptor: dump half. Functions return 0 or -errno (logged). NULL where there is nothing to do. */
struct dump_fd_kind {
	const char *name;
	FdTypes type;
	/* Is it mine? */
	bool (*match)(const struct fd_info *info);
	/* Reads the state of a file that is seen for the first time; no side effect on the target. */
	int (*collect)(struct dump *d, struct dump_file *f, const struct fd_info *info);
	/* Says with blocker_add what cannot be dumped. */
	int (*judge)(struct dump *d, const struct dump_file *f);
	/* Fills the entry of files.img; what it allocates comes from the arena. */
	int (*fill)(struct dump *d, const struct dump_file *f, FileEntry *e, struct arena *arena);
	/* Writes images of its own, once for all files of the kind. */
	int (*write)(struct dump *d);
	/* Frees what data refers to; data itself is freed by the core. */
	void (*forget)(void *data);
};

extern const struct dump_fd_kind *const dump_fd_kinds[]; /* ended by NULL */
#define FD_KIND(name, type) extern const struct dump_fd_kind dump_fd_##name;
#include "fd_kinds.def"
#undef FD_KIND

/* What each thread must be asked itself: a call whose second argument is where the answer goes. */
struct dump_query {
	const char *what;
	long nr;
	uint64_t arg; /* the first argument */
	size_t answer, size; /* the field of struct dump_thread for the answer: offset and bytes */
};

/* A part of a task: dump half. */
struct dump_part {
	const char *name;
	/* From outside, while the task stands still. These by any thread of ours: they look at nothing else. */
	int (*read)(struct dump_task *t);
	int (*read_thread)(struct dump_task *t, struct dump_thread *th);
	int (*collect)(struct dump_task *t);
	int (*collect_thread)(struct dump_task *t, struct dump_thread *th);
	/* From the thread itself. */
	const struct dump_query *queries;
	size_t n_queries;
	/* The same for what a call returns; a remote call for each thread takes time, so only where it matters. */
	int (*ask_thread)(struct dump_thread *th);
	/* From inside the task, with a parasite that waits for requests; t->inside is known. */
	int (*collect_inside)(struct dump_task *t);
	/*
	 * Says with blocker_add what cannot be dumped: from what was collected outside, and from what the
	 * inside told. The former may set untouchable; then the latter is not asked.
	 */
	int (*judge)(struct dump_task *t);
	int (*judge_inside)(struct dump_task *t);
	/* Fills its fields of the core image of a task (t's leader) and of each thread; memory from the arena. */
	int (*fill)(const struct dump_task *t, CoreEntry *core, struct arena *arena);
	int (*fill_thread)(const struct dump_task *t, const struct dump_thread *th, CoreEntry *core,
			   struct arena *arena);
	/* Writes images of its own for the task. */
	int (*write)(struct dump_task *t);
};

extern const struct dump_part *const dump_parts[]; /* ended by NULL */
#define TASK_PART(name) extern const struct dump_part dump_part_##name;
#include "task_parts.def"
#undef TASK_PART

/* What begins and ends every kind of dump (cmd_dump.c): signals, limits; why it failed; all memory and the tree itself.
 */
void dump_begin(void);
void dump_say_why(const struct dump *d, int err);
void dump_free(struct dump *d);
struct page_xfer;
/*
 * What is left when all is written: pages to a page server, statistics, --compress, --checksum, final names,
 * --auto-dedup. err: what came of it until then. Returns that, 0 or -errno (logged).
 */
int dump_finish_images(struct dump *d, struct page_xfer *xfer, int err);

/* Adds a blocker; fmt says where ("fd %d"). Returns 0 or -ENOMEM (logged). */
int blocker_add(struct dump *d, pid_t pid, const char *kind, const char *reason, const char *remedy, const char *fmt,
		...) __attribute__((format(printf, 6, 7)));
/* Asks every kind and part, before anything inside a task was touched, and after. Return 0 even when there are
 * blockers. */
int judge_tree_outside(struct dump *d);
int judge_tree_inside(struct dump *d);
/* Tells the blockers as errors of the log. */
void blockers_log(const struct dump *d);
void blockers_free(struct dump *d);
/* Tells them on stdout, as text or as opts->json asks, of a tree that had so many tasks and threads. */
void blockers_print(const struct dump *d, size_t tasks, size_t threads);

/* A pidfd of a process or, since 6.9, of a single thread. Returns it or -errno (not logged). */
int open_pidfd(pid_t pid);
/* The task of the tree that has the number, or NULL. */
struct dump_task *dump_task_by_pid(const struct dump *d, pid_t pid);
/*
 * The kernel's types for BPF iterators over so many things: NULL where that may not be, or where there are fewer than
 * are worth it. Loaded by the first call that needs them (a millisecond or two); only one thread at a time may ask.
 */
const struct bpf_types *dump_bpf_types(struct dump *d, size_t things, size_t worth);
/*
 * What looks at so many descriptors (fd_seen.h), or NULL. Where the root has many, the first begins to load it while
 * the tree still runs. The last frees all that was loaded.
 */
void dump_bpf_begin(struct dump *d, size_t fds);
struct fd_programs *dump_bpf_fds(struct dump *d, size_t fds);
void dump_bpf_end(struct dump *d);
/*
 * What the kernel tells of all threads of a tree that stands (thread_look.c); where it does not, th->told stays false.
 * Only the main thread may ask. Returns 0 or -errno (logged).
 */
int threads_look(struct dump *d);
/* Reads what /proc tells of a thread. Returns 0 or -errno (logged unless -ESRCH). */
int thread_read_status(struct dump_thread *th);
/* The same, when no other dumper's parasite is left in it: waits for those of one that was killed. */
int freeze_without_parasites(struct dump *d);
/* Stops the whole tree. Whatever was stopped is on the undo stack. Returns 0 or -errno (logged). */
int freeze_tree(struct dump *d);
/* Ends the tree; while the kernel is at that, calls meanwhile. Returns 0 or -errno (logged). */
int kill_tree(struct dump *d, void (*meanwhile)(struct dump *d));

/*
 * Puts parasites into those tasks for which wanted says so, and into nobody else; what a full collection would do to
 * other threads' stacks is done, too. Undone by the undo stack. Returns 0 or -errno (logged).
 */
int enter_some_tasks(struct dump *d, bool (*wanted)(const struct dump_task *t));
/*
 * Before the tree stands: learns what takes a while and stays true. Where the gadgets are in the libraries of its root
 * is looked for again in each task (remote.h).
 */
void collect_ahead(struct dump *d);
/* Reads all state of the stopped tree: first from outside, then with the parasite in each task. */
int collect_tree_outside(struct dump *d);
int collect_tree_inside(struct dump *d);
/* Takes the parasites out again; the threads have their registers back but stay stopped. */
int cure_tree(struct dump *d);

/*
 * Adds the signals that came since they were read to the queues of the process and of a thread, which stands
 * still (part_signals.c). Returns how many, or -errno (logged).
 */
long signals_look_again(struct dump_task *t, struct dump_thread *th);

/* Whether system calls of a thread come back as signals (part_creds.c). Only its tracer may ask. */
void creds_read_dispatch(struct dump_thread *th);
/* What PR_GET_DUMPABLE says, as far as the task cannot lie about it (part_creds.c). */
int creds_dumpable(const struct dump_task *t);

/*
 * What a thread may not do by its seccomp filters once nobody holds it any more: PARASITE_MUST_NOT_* (part_seccomp.c).
 */
uint32_t seccomp_forbids(const struct dump_thread *th);
/*
 * Whatever stops a thread would kill it, when it sleeps and its filters forbid restart_syscall(2): such a one is set to
 * make its call again. To be done as soon as the tree stands. Returns 0 or -errno (logged).
 */
int seccomp_spare_sleepers(struct dump *d);
/* Writes seccomp.img, when any thread has filters. Returns 0 or -errno (logged). */
int seccomp_write(struct dump *d);
void seccomp_free(struct dump *d);

/* Descriptors and other references to files (files.c). */
int files_collect(struct dump *d);
/* What of descriptors only the task can tell. Returns 0 or -errno (logged). */
int files_collect_inside(struct dump_task *t);
int files_judge(struct dump *d);
/* All files; what single kinds write; the descriptors of each task. By any threads, at the same time, too. */
int files_write(struct dump *d);
int files_write_kinds(struct dump *d);
int files_write_fds(struct dump *d);
void files_free(struct dump *d);
/* The file entry for what a path in /proc/PID ("exe", "cwd", "map_files/..") leads to; *file is the registry's. */
int files_add_link(struct dump_task *t, const char *link_name, unsigned int flags, struct dump_file **file);
/* The same for the file behind an area, which is looked at once, however many areas and tasks map it. */
int files_add_mapping(struct dump_task *t, const struct vma *v, unsigned int flags, struct dump_file **file);
/* Whether any descriptor of the tree refers to another file of the same inode, and with which open mode. */
bool files_has_inode(const struct dump *d, const struct stat *st, int access_mode);
/* The first file of an inode, or NULL. */
const struct dump_file *files_by_inode(const struct dump *d, dev_t dev, uint64_t ino);
/* Calls fn for each file of a kind, in the order of their inodes. Stops at the first error. */
int files_each(struct dump *d, const struct dump_fd_kind *kind,
	       int (*fn)(struct dump *d, struct dump_file *f, void *arg), void *arg);
/*
 * Makes a file known that was received from the queue of a socket of the tree, through our own descriptor, which now
 * belongs to the registry. Returns 0 or -errno (logged).
 */
int files_add_in_flight(struct dump *d, const struct dump_file *socket, int fd, struct dump_file **file);
/*
 * Makes a file of the kind known that no descriptor of the tree refers to; data becomes its own. Returns 0 or -errno
 * (logged).
 */
int files_add_made(struct dump *d, const struct dump_fd_kind *kind, pid_t pid, const char *where, void *data);
/*
 * Makes one more file of the same description, of another kind, with an id of its own: kinds that CRIU describes by
 * two entries have both. Returns 0 or -errno (logged).
 */
int files_add_second(struct dump *d, const struct dump_file *f, const struct dump_fd_kind *kind,
		     const struct fd_info *info, struct dump_file **second);
/* Appends what is in the pipe or FIFO behind our descriptor to the image (pipe_data.c). Returns 0 or -errno (logged).
 */
int pipe_write_data(struct image_writer *w, const struct dump_file *f, int fd);
/* The same for one of so many bytes in which nothing is. */
void pipe_write_empty(struct image_writer *w, const struct dump_file *f, uint32_t size);
/* The file that was found after this one, the first after NULL; NULL at the end. */
struct dump_file *files_next(const struct dump *d, const struct dump_file *f);
/* The same among those of a kind. */
struct dump_file *files_next_of(const struct dump *d, const struct dump_fd_kind *kind, const struct dump_file *f);
/* Our own duplicate of a file of the tree. Returns the descriptor or -errno (logged). */
int files_get(const struct dump *d, const struct dump_file *f);

/*
 * File locks (locks.c): those that fdinfo of the descriptor shows. first: the file was not seen before, so what belongs
 * to it is not known yet. Return 0 or -errno (logged).
 */
int locks_collect(const struct dump_task *t, const struct dump_file *f, int fd, const char *text, bool first);
/*
 * fdinfo takes long to read: where /proc/locks tells of all locks, another thread begins to read that, which takes some
 * 20 ms until all CPUs have heard of it. Returns false when fdinfo must be read. Afterwards, those of descriptors that
 * were not read.
 */
bool locks_list_begin(struct dump *d);
int locks_collect_rest(struct dump *d);
int locks_judge(struct dump *d);
int locks_write(struct dump *d);
void locks_free(struct dump *d);

/* Learns the namespaces of ckpt itself, once. */
void namespaces_own(struct dump *d);
/* Whether our PID namespace is the first one, whose numbers the kernel itself uses. */
bool in_first_pid_namespace(void);
/* Those of a task, unless they are known, and blockers by them (namespaces.c). */
void namespaces_collect(struct dump_task *t);
int namespaces_judge(struct dump_task *t);
/* Which objects clone(2) made tasks share (sharing.c): sets files_of, fs_of, vm_of. Returns 0 or -errno (logged). */
int sharing_collect(struct dump *d);
int sharing_judge(struct dump *d);

/* Memory areas (memory.c). */
int memory_collect(struct dump_task *t);
int memory_judge(struct dump_task *t);
int memory_write(struct dump_task *t); /* mm-PID.img */
/* Whether the area is the ring of an AIO context; fills in those of the task (part_aio.c). */
bool aio_is_ring(const struct vma *v);
struct MmEntry;
int aio_fill(const struct dump_task *t, struct MmEntry *mm, struct arena *arena);
/* Whether private pages of the area belong into the image. */
bool memory_is_private(const struct vma *v);

/* Appends a run, to the last one where both meet. Returns 0 or -ENOMEM. */
int run_add(struct run_list *list, struct run run);
/* Writes a pagemap image of the runs, whose data is in pages-PAGES_ID.img. Returns 0 or -errno (logged). */
int pagemap_write(struct dump *d, enum image_kind kind, unsigned long id, uint32_t pages_id,
		  const struct run_list *list);

/* Pages (pages.c, shmem.c): pagemap-PID.img, pagemap-shmem-ID.img and their pages-N.img. */
int pages_write(struct dump *d);
/*
 * Confirms or corrects flags of areas that were read before the tree stood (early_areas.h), when all else is written.
 * Returns 0 or -errno (logged).
 */
int pages_confirm_areas(struct dump *d);
/* What is left for when the tree runs again, from snapshots of its tasks (snapshot.h). Drops those that are left. */
int pages_write_late(struct dump *d);
void pages_drop_late(struct dump *d);
/* Makes the segment behind an area of shared anonymous memory known. */
int shmem_collect(struct dump_task *t, const struct vma *v);
/*
 * Makes a file of shared memory known that is not yet, and takes its descriptor. huge: bytes of its pages when
 * these are huge, else 0. Returns 0 or -ENOMEM (logged).
 */
int shmem_add(struct dump *d, pid_t pid, const struct stat *st, uint64_t huge, int fd);
/* Its number in the images (shmid), or 0 when it is not known. */
uint32_t shmem_id(const struct dump *d, dev_t dev, uint64_t ino);
int shmem_write(struct dump *d);
/*
 * Appends bytes of a file to another; when it ends within the last page, zeros fill that up. Returns 0, -EINTR
 * (logged) or another -errno (not logged).
 */
int copy_bytes(int from, int to, uint64_t start, uint64_t end);
void shmem_free(struct dump *d);

/* System V shared memory (sysv_shm.c): an area of it, its segment, ipcns-shm-N.img. Return 0 or -errno (logged). */
bool sysv_is_shm(const struct vma *v);
int sysv_collect(struct dump_task *t, const struct vma *v);
int sysv_judge(struct dump_task *t, const struct vma *v);
int sysv_write(struct dump *d, uint32_t ipc_ns_id);
void sysv_free(struct dump *d);

/*
 * Files without a name (ghost.c). f is seen for the first time, fd leads to it; the ghost is the registry's.
 * Returns 0 or -ENOMEM (logged).
 */
struct ghost;
int ghost_add(struct dump *d, const struct dump_file *f, int fd, const struct ghost **ghost);
int ghost_judge(struct dump *d, const struct dump_file *f, const struct ghost *ghost);
/* The length of the name that it had, at the begin of what the link says. */
size_t ghost_name_length(const char *link);
/*
 * Files whose name was removed while they have others (link_remap.c). is_one: of those; the link is NULL without
 * --link-remap, and belongs to the registry. Names are made when the tree was found dumpable; freeing removes them
 * unless they are to be kept. Return 0 or -errno (logged).
 */
struct link_remap;
bool link_remap_is_one(const struct dump_file *f);
int link_remap_add(struct dump *d, const struct dump_file *f, int fd, const struct link_remap **link);
int link_remap_judge(struct dump *d, const struct dump_file *f, const struct link_remap *link);
int link_remaps_make(struct dump *d);
/* The number of its entry in files.img. */
uint32_t link_remap_id(const struct link_remap *link);
void link_remaps_free(struct dump *d, bool keep);
/* The number of its image. */
uint32_t ghost_id(const struct ghost *ghost);
/* All ghost-file-N.img. Returns 0 or -errno (logged). */
int ghosts_write(struct dump *d);
void ghosts_free(struct dump *d);

/*
 * Everything but memory (write_images.c). Any number of threads may run write_some_images at the same time, each
 * writes what is next until nothing is left. Returns 0 or -errno (logged).
 */
struct writing {
	struct dump *d;
	atomic_size_t next;
	atomic_int err; /* the first */
};
int write_some_images(struct writing *w);
int inventory_write(struct dump *d);
int write_stats(struct dump *d);

/* -EINTR (logged) when the user asked us to stop by SIGINT, SIGTERM or SIGHUP; these are blocked during a dump. */
int interrupted(void);

#endif
