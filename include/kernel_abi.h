/*
 * Kernel interfaces newer than Debian 12's headers (Linux 6.1). Numbers and layouts from the kernel's uapi
 * headers, each with the version that brought it. Whoever uses one has a fallback for 5.15.
 */
#ifndef CKPT_KERNEL_ABI_H
#define CKPT_KERNEL_ABI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Pages that nobody may touch, asm-generic/mman-common.h, 6.13 */
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

/* Private memory that the kernel may drop, linux/mman.h, 6.11; in the place of MAP_PRIVATE. */
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

/* Small pages become a huge one, linux/mman.h, 6.1. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* A memfd that may be executed, or never, whatever vm.memfd_noexec says of others: linux/memfd.h, 6.3 */
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x0020
#endif

/* A pidfd of a single thread, linux/pidfd.h, 6.9; before, it is EINVAL. */
#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

/* Words of /proc/PID/pagemap, and what to write into /proc/PID/clear_refs: Documentation/admin-guide/mm */
#define PM_PFN ((1ul << 55) - 1)
#define PM_SOFT_DIRTY (1ul << 55)
#define PM_FILE (1ul << 61)
#define PM_SWAPPED (1ul << 62)
#define PM_PRESENT (1ul << 63)
#define CLEAR_SOFT_DIRTY "4"

/* PAGEMAP_SCAN, linux/fs.h, 6.7 */
#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PM_SCAN_WP_MATCHING (1 << 0)

#define PAGE_IS_WPALLOWED (1 << 0)
#define PAGE_IS_WRITTEN (1 << 1)
#define PAGE_IS_FILE (1 << 2)
#define PAGE_IS_PRESENT (1 << 3)
#define PAGE_IS_SWAPPED (1 << 4)
#define PAGE_IS_PFNZERO (1 << 5)
#define PAGE_IS_HUGE (1 << 6)
#define PAGE_IS_SOFT_DIRTY (1 << 7)
#define PAGE_IS_GUARD (1 << 8) /* 6.15 */

struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};
#endif

/* linux/userfaultfd.h: holes that are write-protected, 6.4; writes that nobody waits for, 6.7 */
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

/* linux/fanotify.h: 6.14 has the last of those that wait for an answer; glibc's sys/fanotify.h hides some: 5.19, 6.0 */
#define FANOTIFY_PERMISSIONS 0x00170000u /* FAN_OPEN_PERM, _ACCESS_PERM, _OPEN_EXEC_PERM, _PRE_ACCESS */
#ifndef FAN_MARK_EVICTABLE
#define FAN_MARK_EVICTABLE 0x00000200
#endif
#ifndef FAN_MARK_IGNORE
#define FAN_MARK_IGNORE 0x00000400
#endif

/* File systems of the kernel's own: ipc/mqueue.c; linux/magic.h, 5.14 */
#ifndef MQUEUE_MAGIC
#define MQUEUE_MAGIC 0x19800202
#endif
#ifndef SECRETMEM_MAGIC
#define SECRETMEM_MAGIC 0x5345434d
#endif

/* Expirations of a timerfd, linux/timerfd.h, 3.17; not in glibc's sys/timerfd.h */
#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, __u64)
#endif

/* One area, asked of /proc/PID/maps: linux/fs.h, 6.11 */
struct procmap_request {
	__u64 size, query_flags, query_addr; /* 0: the area that has this address */
	__u64 vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
	__u32 dev_major, dev_minor;
	__u32 vma_name_size, build_id_size; /* bytes of room; then of the name, with the zero behind it */
	__u64 vma_name_addr, build_id_addr;
};
#define PROCMAP_REQUEST _IOWR('f', 17, struct procmap_request)

/* Sockets: asm-generic/socket.h, 5.14 and 6.5; linux/socket.h, 6.5; linux/un.h, 4.10 (libc hides it) */
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif
#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE 0x89e0
#endif

/* linux/io_uring.h: 6.0 and 6.1 */
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

/* io_uring_register(2), linux/io_uring.h: 6.8 and 6.13 */
#define URING_REGISTER_PBUF_STATUS 26
#define URING_REGISTER_MEM_REGION 34
struct uring_buf_status {
	__u32 buf_group;
	__u32 head;
	__u32 unused[8];
};

#endif
