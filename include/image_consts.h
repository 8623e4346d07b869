/* Numbers that stand in images and that no schema names. CRIU's names, for who reads both. */
#ifndef CKPT_IMAGE_CONSTS_H
#define CKPT_IMAGE_CONSTS_H

/* vma_entry.status */
enum {
	VMA_AREA_REGULAR = 0x1, /* its content is dumped and restored */
	VMA_AREA_STACK = 0x2,
	VMA_AREA_VSYSCALL = 0x4,
	VMA_AREA_VDSO = 0x8,
	VMA_AREA_HEAP = 0x20,
	VMA_FILE_PRIVATE = 0x40,
	VMA_FILE_SHARED = 0x80,
	VMA_ANON_SHARED = 0x100,
	VMA_ANON_PRIVATE = 0x200,
	VMA_AREA_SYSVIPC = 0x400,
	VMA_AREA_SOCKET = 0x800,
	VMA_AREA_VVAR = 0x1000,
	VMA_AREA_AIORING = 0x2000,
	VMA_AREA_MEMFD = 0x4000,
	VMA_AREA_SHSTK = 0x8000,
	VMA_AREA_GUARD = 0x10000, /* no area: a range of MADV_GUARD_INSTALL guards */
	VMA_AREA_UPROBES = 0x20000,
};

/* pagemap_entry.flags */
enum {
	PE_PARENT = 0x1, /* the pages are in the parent's images */
	PE_LAZY = 0x2,
	PE_PRESENT = 0x4, /* the pages are in pages-N.img */
};

/* file_lock_entry.flag */
enum lock_kind {
	LOCK_KIND_POSIX = 1,
	LOCK_KIND_FLOCK = 2,
	LOCK_KIND_OFD = 4,
	LOCK_KIND_LEASE = 8,
};

/* In file_lock_entry.type, beside F_RDLCK, F_WRLCK, F_UNLCK: a lease that has to become that */
enum { LOCK_BREAKING = 4 };

/* Namespaces in task_kobj_ids_entry of a tree in those of the caller */
enum {
	IDS_PID_NS = 1,
	IDS_NET_NS = 2,
	IDS_IPC_NS = 3,
	IDS_UTS_NS = 4,
	IDS_TIME_NS = 5,
	IDS_MNT_NS = 6,
	IDS_USER_NS = 7,
	IDS_CGROUP_NS = 8,
};

/* unix_sk_entry.state, netlink_sk_entry.state: the kernel's TCP_*, which it uses for all sockets */
enum { STATE_UNBOUND = 0, STATE_ESTABLISHED = 1, STATE_CLOSE = 7, STATE_LISTEN = 10 };

/* unix_sk_entry.uflags */
enum { UFLAG_EXTERN = 1 /* outside the tree: others connect to its name */ };

/* scm_entry.type */
enum { SCM_TYPE_RIGHTS = 1 };

/* words of netlink_sk_entry.groups, at most; group 1 is the lowest bit of the first */
#define NETLINK_GROUP_WORDS 64

/* task_core_entry.task_state */
enum {
	TASK_ALIVE = 0x1,
	TASK_DEAD = 0x2, /* exit_code is its wait status */
	TASK_STOPPED = 0x3,
	TASK_ZOMBIE = 0x6, /* its leader has exited, other threads run */
	TASK_HELPER = 0x80, /* exists only while a restore works */
};

#endif
